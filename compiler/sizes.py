"""What files at hand say of inputs: rows of data, geometry of weights. It may change diagnostics, never a plan."""

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dllm_run.specs.geometry import Geometry
from dllm_run.specs.locator import kind_of, located_files, root_of
from dllm_run.specs.vocabulary.lora import Lora

from .adapters import adapter_of_folder
from .folders import ADAPTER, read_map

MOST_BYTES = 1 << 26
"""Larger files are not read: a plan must not take longer for them."""
_SAMPLE = 256
"""Rows whose length is looked at."""

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of a source."""

    rows: int
    row_bytes: float
    """Mean UTF-8 bytes of the text of a row, by the first ones."""
    most_bytes: int
    """A bound on the bytes of all of them."""


@dataclass(slots=True)
class Sizes:
    """Reads files below `base`, each once."""

    base: Path
    _rows: dict[tuple[str, tuple[str, ...]], Rows | None] = field(default_factory=dict)
    _geometries: dict[str, Geometry | None] = field(default_factory=dict)
    _adapters: dict[str, Lora | None] = field(default_factory=dict)

    def rows(self, locator: str, columns: tuple[str, ...]) -> Rows | None:
        """Rows of a source, counted as the runtime counts them, and the length of these columns; None where that is not known."""
        key = (locator, columns)
        if key not in self._rows:
            self._rows[key] = None if kind_of(locator, "data") == "hub" else self._counted(locator, columns)
        return self._rows[key]

    def geometry(self, locator: str) -> Geometry | None:
        """By the config.json in the folder of a model; None where there is none here that is understood."""
        if locator not in self._geometries:
            self._geometries[locator] = None if kind_of(locator, "model") == "hub" else _geometry(root_of(locator, self.base))
        return self._geometries[locator]

    def adapter(self, locator: str) -> Lora | None:
        """By the adapter_config.json in the folder of an adapter; None where there is none here that is understood."""
        if locator not in self._adapters:
            place = None if kind_of(locator, "model") == "hub" else root_of(locator, self.base)
            said = None if place is None else read_map(place / ADAPTER)
            self._adapters[locator] = None if said is None else adapter_of_folder(said)
        return self._adapters[locator]

    def _counted(self, locator: str, columns: tuple[str, ...]) -> Rows | None:
        files = [file.path for file in located_files(locator, self.base)]
        try:
            sizes = [path.stat().st_size for path in files]
            if not files or sum(sizes) > MOST_BYTES or any(path.suffix.lower() not in _READERS for path in files):
                return None
            return _count((row for path in files for row in _READERS[path.suffix.lower()](path)), columns, sum(sizes))
        except (OSError, ValueError, csv.Error):
            return None  # the runtime will say what is wrong, with file and line


def _count(rows: Iterator[_Row | str], columns: tuple[str, ...], most_bytes: int) -> Rows | None:
    first = [_read(row) for row in itertools.islice(rows, _SAMPLE)]
    sizes = [len(str(row.get(column, "")).encode()) for row in first for column in columns]
    count = len(first) + sum(1 for _ in rows)
    return Rows(rows=count, row_bytes=sum(sizes) / len(first), most_bytes=most_bytes) if first else None


def _read(row: _Row | str) -> _Row:
    """A row of which so far only its line was seen."""
    found = json.loads(row) if isinstance(row, str) else row
    if not isinstance(found, dict):
        raise ValueError("a row is no map")
    return found


def _text(path: Path) -> Iterable[_Row | str]:
    yield {"text": path.read_text(encoding="utf-8")}


def _json_lines(path: Path) -> Iterable[_Row | str]:
    with path.open(encoding="utf-8") as stream:
        yield from (line for line in stream if line.strip())


def _json(path: Path) -> Iterable[_Row | str]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, list):
        raise ValueError("no list of rows")
    yield from found


def _csv(path: Path) -> Iterable[_Row | str]:
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


_READERS: dict[str, Callable[[Path], Iterable[_Row | str]]] = {
    ".txt": _text,
    ".md": _text,
    ".rst": _text,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
}


def _geometry(folder: Path | None) -> Geometry | None:
    found = None if folder is None else read_map(folder / "config.json")
    return None if found is None else Geometry.from_config(found)
