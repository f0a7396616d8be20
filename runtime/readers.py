"""Readers of files: rows one after the other, each with its place for people and the position from which reading can go on."""

import ast
import csv
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .failure import Failure

# The standard library refuses cells over 128 KiB; a text may be longer.
csv.field_size_limit(1 << 30)


class Raw(NamedTuple):
    """A row as a file has it."""

    row: dict[str, Any]
    place: str
    """For people: file and line."""
    at: int
    """Where it begins: the same reader goes on from there. Bytes, or a number of rows."""


Reader = Callable[[Path, int], Iterator[Raw]]
"""(file, position) -> its rows from there; position 0 is its beginning."""


def rows_of_file(path: Path, start: int = 0) -> Iterator[Raw]:
    """The rows of a file of a kind that is read. Raises Failure with file and line of what is no row."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(sorted(READERS))
        raise Failure(f"{path.name}: files of this kind are not read; known are {known}")
    try:
        yield from reader(path, start)
    except UnicodeDecodeError:
        raise Failure(f"{path.name} is not UTF-8") from None


def _text(path: Path, start: int) -> Iterator[Raw]:
    if start == 0:
        yield Raw({"text": path.read_text(encoding="utf-8")}, path.name, 0)


def _json_lines(path: Path, start: int) -> Iterator[Raw]:
    with path.open("rb") as stream:
        stream.seek(start)
        at = start
        for number, line in enumerate(stream, start=1):
            place = f"{path.name}:{number}" if start == 0 else f"{path.name} at byte {at}"
            if line.strip():
                yield Raw(_map(line.decode("utf-8"), place), place, at)
            at += len(line)


def _map(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise Failure(f"{place} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise Failure(f"{place} is not a map")
    return row


def _json(path: Path, start: int) -> Iterator[Raw]:
    text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError as error:
        if "Extra data" in str(error) and text.lstrip().startswith("{"):
            yield from _json_lines(path, start)  # what hubs call .json is often a row a line
            return
        raise Failure(f"{path.name} is not JSON: {error}") from None
    if not isinstance(found, list):
        raise Failure(f"{path.name} must hold a list of rows")
    for index, row in itertools.islice(enumerate(found), start, None):
        if not isinstance(row, dict):
            raise Failure(f"{path.name}: row {index} is not a map")
        yield Raw(row, f"{path.name}: row {index}", index)


def _csv(path: Path, start: int) -> Iterator[Raw]:
    with path.open("rb") as stream:
        read = 0

        def lines() -> Iterator[str]:
            nonlocal read
            for line in stream:
                read += len(line)
                yield line.decode("utf-8")

        reader = csv.DictReader(lines())
        try:
            names = reader.fieldnames
            if start and names is not None:
                stream.seek(start)
                read, reader = start, csv.DictReader(lines(), fieldnames=list(names))
            at = read
            for row in reader:
                yield Raw(row, f"{path.name}:{reader.line_num}" if start == 0 else f"{path.name} at byte {at}", at)
                at = read
        except csv.Error as error:
            raise Failure(f"{path.name}:{reader.line_num + 1}: {error}") from None


def _parquet(path: Path, start: int) -> Iterator[Raw]:
    import pyarrow.parquet  # half a second that only tables of this kind should cost

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except ValueError as error:
        raise Failure(f"{path.name} is not a Parquet file: {error}") from None
    number = 0
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if number + rows <= start:
            number += rows
            continue
        for batch in table.iter_batches(row_groups=[group]):
            if number + len(batch) <= start:
                number += len(batch)
                continue
            for row in batch.to_pylist():
                if number >= start:
                    yield Raw(row, f"{path.name}: row {number}", number)
                number += 1


def _module(path: Path, start: int) -> Iterator[Raw]:
    """The texts of a module's literals, read without running it: `topics = {'assert': '…', …}` gives a row a value."""
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise Failure(f"{path.name}:{error.lineno} is not Python: {error.msg}") from None
    assigned = [statement.value for statement in tree.body if isinstance(statement, ast.Assign)]
    found = (item for value in assigned for item in _literal_texts(value))
    for index, (literal, line) in itertools.islice(enumerate(found), start, None):
        yield Raw({"text": literal}, f"{path.name}:{line}", index)


def _literal_texts(node: ast.expr) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, node.lineno
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _literal_texts(value)
    elif isinstance(node, (ast.List, ast.Tuple)):
        for value in node.elts:
            yield from _literal_texts(value)


READERS: dict[str, Reader] = {
    ".txt": _text,
    ".md": _text,
    ".rst": _text,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
    ".py": _module,
}
