"""A look into the first rows of a data file: which columns they have, and whether they can be read at all."""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dllm_run.specs.locator import DATA_SUFFIXES

READABLE = (*DATA_SUFFIXES, ".py")
ROWS = 20
_START = 1 << 20
"""Bytes at the beginning of a file that are looked at."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the beginning of a file shows."""

    name: str
    rows: tuple[tuple[str, Row], ...] = ()
    """The first rows with their places."""
    empty: bool = False
    problem: str = ""
    """Why it cannot be read, as the end of a sentence that begins with its name."""
    unchecked: str = ""
    """Why nothing is known of it."""


class _Unreadable(Exception):
    """Carries the problem."""


def look_at(path: Path) -> Look:
    """The beginning of a file of a kind that is read."""
    name = path.name
    try:
        if path.stat().st_size == 0:
            return Look(name=name, empty=True)
        found = _LOOKS[path.suffix.lower()](path)
    except _Unreadable as error:
        return Look(name=name, problem=str(error))
    except UnicodeDecodeError:
        return Look(name=name, problem="is not UTF-8")
    except OSError as error:
        return Look(name=name, unchecked=error.strerror or "it cannot be opened")
    if isinstance(found, str):
        return Look(name=name, unchecked=found)
    return Look(name=name, rows=tuple(found), empty=not found)


_Found = list[tuple[str, Row]] | str
"""The first rows, or why they are not known."""


def _start_of(path: Path) -> tuple[str, bool]:
    """The text of the first bytes, and whether that is all. A character that the cut splits is left out."""
    with path.open("rb") as stream:
        data = stream.read(_START + 1)
    whole = len(data) <= _START
    return codecs.getincrementaldecoder("utf-8")().decode(data[:_START], final=whole), whole


def _text(path: Path) -> _Found:
    text, _ = _start_of(path)
    return [(path.name, {"text": text})]


def _module(path: Path) -> _Found:
    _start_of(path)
    return [(path.name, {"text": ""})]


def _json_lines(path: Path) -> _Found:
    text, whole = _start_of(path)
    # A line that the cut splits is no row yet.
    lines = text.split("\n") if whole else text.split("\n")[:-1]
    if not lines:
        return "its first row is too long to look into"
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    return [(f"{path.name}:{number}", _map(line, number)) for number, line in islice(numbered, ROWS)]


def _map(line: str, number: int) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _Unreadable(f"is not JSON in line {number}: {error}") from None
    if not isinstance(row, dict):
        raise _Unreadable(f"holds no map in line {number}: a line is a row")
    return row


def _json(path: Path) -> _Found:
    text, whole = _start_of(path)
    if not whole:
        return "it is too large to look into: a JSON file is read as a whole"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _Unreadable(f"is not JSON: {error}") from None
    if not isinstance(found, list):
        raise _Unreadable("must hold a list of rows; a row a line is .jsonl")
    for number, row in enumerate(found):
        if not isinstance(row, dict):
            raise _Unreadable(f"holds no map as row {number}")
    return [(f"{path.name}: row {number}", row) for number, row in enumerate(found[:ROWS])]


def _csv(path: Path) -> _Found:
    text, whole = _start_of(path)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        rows = [(f"{path.name}:{reader.line_num}", row) for row in islice(reader, ROWS)]
    except csv.Error as error:
        raise _Unreadable(f"is not CSV in line {reader.line_num + 1}: {error}") from None
    return rows if whole or len(rows) == ROWS else rows[:-1] or "its first row is too long to look into"


def _parquet(path: Path) -> _Found:
    try:
        import pyarrow.parquet  # a fifth of a second that only tables of this kind should cost
    except ImportError:
        return "pyarrow is not installed here"
    try:
        table = pyarrow.parquet.ParquetFile(path)
        batch = next(table.iter_batches(batch_size=ROWS), None)
    except ValueError as error:
        raise _Unreadable(f"is not a Parquet file: {str(error).splitlines()[0]}") from None
    return [] if batch is None else [(f"{path.name}: row {number}", row) for number, row in enumerate(batch.to_pylist())]


_LOOKS: dict[str, Callable[[Path], _Found]] = {
    ".txt": _text,
    ".md": _text,
    ".rst": _text,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
    ".py": _module,
}


def columns_of(look: Look) -> Iterator[str]:
    """Columns that every row has."""
    if look.rows:
        first, *others = [row for _, row in look.rows]
        yield from (column for column in first if column is not None and all(column in row for row in others))
