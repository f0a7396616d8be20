"""Reading rows out of sources: texts, tables, modules of installed packages, generators."""

import ast
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dllm_run.specs.locator import LocatedFile, kind_of
from dllm_run.specs.templating import is_template
from dllm_run.specs.vocabulary.data import Data, Source

from .build import build
from .failure import Failure
from .row_template import text_of

# The standard library refuses cells over 128 KiB; a text may be longer.
csv.field_size_limit(1 << 30)

Row = dict[str, str]
FilesOf = Callable[[str], list[LocatedFile]]


def read_rows(data: Data, format: str, files_of: FilesOf) -> list[Row]:
    """All rows of a data set, in order: {"text"} or {"prompt", "response"}. Raises Failure with file and line of a bad row."""
    rows: list[Row] = []
    names = {"text": data.columns.text} if format == "text" else {"prompt": data.columns.prompt, "response": data.columns.response}
    columns = {name: _column(text) for name, text in names.items()}
    for source in data.sources:
        found = []
        for row, place in _source_rows(source, files_of):
            found.append({name: text_in(row, place) for name, text_in in columns.items()})
            if source.limit is not None and len(found) == source.limit:
                break
        rows.extend(found)
    if not rows:
        raise Failure("the sources hold no rows")
    return rows


def _source_rows(source: Source, files_of: FilesOf) -> Iterator[tuple[dict[str, Any], str]]:
    if source.generate is not None:
        yield from ((row, f"generated row {index}") for index, row in enumerate(build(source.generate)))
        return
    assert source.path is not None
    if kind_of(source.path, "data") == "hub":
        raise Failure(f"{source.path}: this version reads no data set of a hub; give the files of a download, such as ./rows.jsonl")
    for file in files_of(source.path):
        reader = _READERS.get(file.path.suffix.lower())
        if reader is None:
            known = ", ".join(sorted(_READERS))
            raise Failure(f"{file.path.name}: files of this kind are not read; known are {known}")
        try:
            yield from reader(file.path)
        except UnicodeDecodeError:
            raise Failure(f"{file.path.name} is not UTF-8") from None


def _column(column: str) -> Callable[[dict[str, Any], str], str]:
    """How a row, at a place, gives one text: its column of that name, or a template over all columns."""
    if is_template(column):
        return text_of(column)

    def chosen(row: dict[str, Any], place: str) -> str:
        if column not in row:
            raise Failure(f"{place}: no column {column!r}; it has {', '.join(map(repr, row))} (`columns` names them otherwise)")
        value = row[column]
        if not isinstance(value, str):
            raise Failure(f"{place}: column {column!r} holds {type(value).__name__}, not text")
        return value

    return chosen


def _text(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    yield {"text": path.read_text(encoding="utf-8")}, path.name


def _json_lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield _map(line, f"{path.name}:{number}"), f"{path.name}:{number}"


def _json(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Failure(f"{path.name} is not JSON: {error}") from None
    if not isinstance(found, list):
        raise Failure(f"{path.name} must hold a list of rows")
    for index, row in enumerate(found):
        if not isinstance(row, dict):
            raise Failure(f"{path.name}: row {index} is not a map")
        yield row, f"{path.name}: row {index}"


def _map(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise Failure(f"{place} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise Failure(f"{place} is not a map")
    return row


def _csv(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            for row in reader:
                yield row, f"{path.name}:{reader.line_num}"
        except csv.Error as error:
            raise Failure(f"{path.name}:{reader.line_num + 1}: {error}") from None


def _parquet(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    import pyarrow.parquet  # half a second that only tables of this kind should cost

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except ValueError as error:
        raise Failure(f"{path.name} is not a Parquet file: {error}") from None
    number = 0
    for batch in table.iter_batches():
        for row in batch.to_pylist():
            yield row, f"{path.name}: row {number}"
            number += 1


def _module(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The texts of a module's literals, read without running it: `topics = {'assert': '…', …}` gives a row a value."""
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise Failure(f"{path.name}:{error.lineno} is not Python: {error.msg}") from None
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for text, line in _literal_texts(statement.value):
                yield {"text": text}, f"{path.name}:{line}"


def _literal_texts(node: ast.expr) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, node.lineno
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _literal_texts(value)
    elif isinstance(node, (ast.List, ast.Tuple)):
        for value in node.elts:
            yield from _literal_texts(value)


_READERS: dict[str, Callable[[Path], Iterator[tuple[dict[str, Any], str]]]] = {
    ".txt": _text,
    ".md": _text,
    ".rst": _text,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
    ".py": _module,
}
