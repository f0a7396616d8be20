"""The code in use, frozen: a copy of this package by the hash of its content, which jobs run however long they wait."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import dllm_run

_LEFT_OUT = ("__pycache__",)


def freeze_code(folder: Path) -> Path:
    """The copy under `folder`, to stand on PYTHONPATH; made unless it is there. Raises OSError where it cannot be written."""
    package = Path(dllm_run.__file__).parent
    files = _files(package)
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        data = path.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    found = folder / digest.hexdigest()[:16]
    if not (found / "MANIFEST.sha256").is_file():
        _write(files, found)
    return found


def _files(package: Path) -> dict[str, Path]:
    """The files of the package by name. A checkout links to its layers, hence the walk through links."""
    found = {}
    for here, folders, names in os.walk(package, followlinks=True):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not name.startswith(".")]
        found.update({(Path(here) / name).relative_to(package.parent).as_posix(): Path(here) / name for name in names})
    return {name: path for name, path in found.items() if not name.endswith((".pyc", ".so"))}


def _write(files: dict[str, Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".code-", dir=target.parent))
    lines = []
    for name, path in sorted(files.items()):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, made / name)
        lines.append(f"{hashlib.sha256((made / name).read_bytes()).hexdigest()}  {name}\n")
    (made / "MANIFEST.sha256").write_text("".join(lines), encoding="utf-8")
    made.chmod(0o755)
    try:
        made.rename(target)
    except OSError:
        shutil.rmtree(made)
        if not (target / "MANIFEST.sha256").is_file():  # else somebody else was faster
            raise
