"""Writing a compiled tree to disk and comparing it with what is there.

While a tree is written there is a folder `.writing-…` in it: new files come from there, its manifest first and put in place last. A write
that was interrupted leaves that folder behind, so that nobody takes a half tree for a whole one, and the next write knows its own files.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from dllm_run.specs.disk import cannot_write
from dllm_run.specs.errors import EnvironmentProblem

from .manifest import MANIFEST, names_in

_WRITING = ".writing-"
_SCRIPTS = (".sh", ".sbatch")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How a folder differs from a tree, by file name."""

    differing: tuple[str, ...]
    missing: tuple[str, ...]
    superfluous: tuple[str, ...]

    def lines(self) -> list[str]:
        """One line a file; empty where there is no difference."""
        named = {"differs": self.differing, "missing": self.missing, "superfluous": self.superfluous}
        return [f"{what}: {name}" for what, names in named.items() for name in names]


def write(files: Mapping[str, bytes], folder: Path, obsolete: Collection[str] = ()) -> None:
    """Write a tree into a folder and remove what is `obsolete` there; scripts are executable. Raises OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = Path(tempfile.mkdtemp(prefix=_WRITING, dir=folder))
    _write_part(parts / MANIFEST, files[MANIFEST], executable=False)
    for name, data in files.items():
        if name != MANIFEST:
            part = parts / "part"
            _write_part(part, data, executable=name.endswith(_SCRIPTS))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            part.replace(folder / name)
    for name in sorted(obsolete):
        _remove(folder, name)
    (parts / MANIFEST).replace(folder / MANIFEST)
    parts.rmdir()


def replace(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a tree in place of an earlier one, or where nothing is. Raises EnvironmentProblem for a folder that holds other things."""
    try:
        present, ours = _present(folder), _ours(folder)
        if present - ours:
            raise EnvironmentProblem(_refusal(folder, sorted(present - ours)))
        interrupted = list(folder.glob(f"{_WRITING}*"))
        write(files, folder, obsolete=present - files.keys())
        for parts in interrupted:
            shutil.rmtree(parts)
    except OSError as error:
        raise cannot_write(error, folder) from None


def differences(files: Mapping[str, bytes], folder: Path) -> Differences:
    """What is other than it should be in a folder."""
    there = _present(folder) | {path.name for path in folder.glob(f"{_WRITING}*")}
    both = there & files.keys()
    return Differences(
        differing=tuple(sorted(name for name in both if _read(folder / name) != files[name])),
        missing=tuple(sorted(files.keys() - there)),
        superfluous=tuple(sorted(there - files.keys())),
    )


def unfinished(files: Mapping[str, bytes], folder: Path) -> bool:
    """Whether any file of a tree is not in a folder yet."""
    return any(not (folder / name).is_file() for name in files)


def _write_part(path: Path, data: bytes, *, executable: bool) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    if executable:
        mode = path.stat().st_mode
        # Whoever may read it may run it: what the umask takes away stays away.
        path.chmod(mode | (mode & 0o444) >> 2)


def _present(folder: Path) -> set[str]:
    """Names of all files and links in a folder, without those of a write that is not finished."""
    found: set[str] = set()
    if folder.exists() and not folder.is_dir():
        raise EnvironmentProblem(f"{folder} is a file: give a folder with -o")
    for here, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        found.update((Path(here) / name).relative_to(folder).as_posix() for name in [*names, *links])
        folders[:] = [name for name in folders if not (name.startswith(_WRITING) and Path(here) == folder)]
    return found


def _ours(folder: Path) -> set[str]:
    """Names that this folder's manifest, and those of interrupted writes, give."""
    return set().union(*(names_in(path) for path in [folder / MANIFEST, *folder.glob(f"{_WRITING}*/{MANIFEST}")]))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _remove(folder: Path, name: str) -> None:
    """Remove a file of an earlier tree, and the folders that it leaves empty."""
    path = folder / name
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == folder or any(parent.iterdir()):
            break
        parent.rmdir()


def _refusal(folder: Path, foreign: list[str]) -> str:
    more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
    shown = ", ".join(foreign[:_SHOWN]) + more
    return f"{folder} holds what no compile has written ({shown}): give an empty or a new folder with -o, or move that away"
