"""Where inputs are: paths, globs, `package:NAME/path` and hub ids, resolved on this machine."""

import glob
import hashlib
import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

PACKAGE = "package:"
TABLE_SUFFIXES = (".txt", ".jsonl", ".json", ".csv", ".parquet")
"""Files of a data set of a hub that may hold rows; others describe it, and its code is never run."""
DATA_SUFFIXES = (*TABLE_SUFFIXES, ".md", ".rst")
"""Files that a path may name as a source."""
_CHUNK = 1 << 20


class LocatedFile(NamedTuple):
    """One file of an input: its name within the input, and where it is here."""

    name: str
    path: Path


def is_task_file(name: str) -> bool:
    """Whether the name of a task is that of a file."""
    return name.startswith(("./", "../", "/", "~"))


def names_input(text: str, what: str) -> bool:
    """Whether a text that may locate an input does: tasks have names, and a chat template may be written out."""
    return what not in _FILES_ALONE or is_task_file(text)


_FILES_ALONE = ("task", "template")


def kind_of(locator: str, what: str) -> str:
    """`package`, `file` or `hub`. Decided by the text alone, so that it is the same on every machine.

    `what` is `model` or `data`: data are files also by their ending or as a glob, without ./ in front.
    """
    if locator.startswith(PACKAGE):
        return "package"
    if locator.startswith(("./", "../", "/", "~")):
        return "file"
    if what == "data" and ("*" in locator or locator.endswith(DATA_SUFFIXES)):
        return "file"
    return "hub"


def root_of(locator: str, base: Path) -> Path | None:
    """The file, folder or glob that a locator means here; None where its package is not installed."""
    if not locator.startswith(PACKAGE):
        return base / Path(locator).expanduser()
    name, _, inner = locator.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None:
        return None
    if found.submodule_search_locations:
        root = Path(next(iter(found.submodule_search_locations)))
    elif found.origin is not None:
        root = Path(found.origin).parent
    else:
        return None
    return root / inner if inner else root


def located_files(locator: str, base: Path) -> list[LocatedFile]:
    """The files of an input, in the order of their names; empty where there are none here."""
    root = root_of(locator, base)
    if root is None:
        return []
    if not root.exists() and locator.startswith(PACKAGE) and root.with_name(root.name + ".py").is_file():
        root = root.with_name(root.name + ".py")
    if root.is_dir():
        inside = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
        kept = [path for path in inside if "__pycache__" not in path.parts and not path.name.startswith(".")]
        return sorted(LocatedFile(path.relative_to(root).as_posix(), path) for path in kept)
    if root.is_file():
        return [LocatedFile(root.name, root)]
    matches = glob.glob(str(root), recursive=True)  # noqa: PTH207 - the pattern may be absolute
    return sorted(LocatedFile(Path(found).name, Path(found)) for found in matches if Path(found).is_file())


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex. Raises OSError where it cannot be read."""
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
