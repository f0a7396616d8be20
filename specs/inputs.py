"""Where the files of a recorded input are on this machine, wherever it came from."""

import json
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


def model_type_in(folder: Path | None) -> str | None:
    """What the config.json in the folder of a model says it is; None where there is none that says so."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder is not None else None
    except (OSError, ValueError):
        return None
    found = said.get("model_type") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None


def is_downloaded(record: InputRecord, base: Path) -> bool:
    """Whether every file that the record names is here; their content is not looked at."""
    return record.resolved and len(input_files(record, base)) == len(record.files)
