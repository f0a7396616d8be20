"""Where the files of a recorded input are on this machine, wherever it came from."""

from pathlib import Path

from .hub import snapshot
from .locator import LocatedFile, located_files, root_of
from .plan import InputRecord


def input_root(record: InputRecord, base: Path) -> Path | None:
    """The file, folder or glob of an input; None where its package is not installed, or nothing of it was downloaded."""
    if record.kind != "hub":
        return root_of(record.locator, base)
    return None if record.revision is None else snapshot(record.locator, record.revision)


def input_files(record: InputRecord, base: Path) -> list[LocatedFile]:
    """The files of an input that are here, in the order of their names. Of something on a hub only those that the record names."""
    if record.kind != "hub":
        return located_files(record.locator, base)
    root = input_root(record, base)
    if root is None:
        return []
    # Other programs may have put more files there.
    return [LocatedFile(name, root / name) for name in sorted(record.files) if (root / name).is_file()]


def is_downloaded(record: InputRecord, base: Path) -> bool:
    """Whether every file that the record names is here; their content is not looked at."""
    return record.resolved and len(input_files(record, base)) == len(record.files)
