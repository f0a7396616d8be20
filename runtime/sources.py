"""Rows of a data set: read out of its sources, kept or left, mapped, and cut down to the columns that are used."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from dllm_run.specs.hub import revised
from dllm_run.specs.locator import LocatedFile, kind_of
from dllm_run.specs.templating import is_template
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Columns, Source

from .build import build
from .failure import Failure
from .hub_layout import files_of_split
from .readers import Raw, rows_of_file
from .row_template import holds, text_of

Row = dict[str, Any]
"""{"text"}, {"prompt", "response"}, or {"messages"}."""
FilesOf = Callable[[str], list[LocatedFile]]
_Columns = Callable[[Row, str], Row]


class Found(NamedTuple):
    """A row, and where it is from."""

    row: Row
    source: int
    """Which source of the data set."""
    file: int
    """Which file of that; 0 of a computed one."""
    number: int
    """Which row of the file, as the file has them."""
    at: int
    """Where in the file that begins."""
    part: int
    """Which of the rows that mappings made of it."""


def read_rows(data: Data, format: str, files_of: FilesOf) -> list[Row]:
    """All rows of a data set, in order. Raises Failure with file and line of a bad row."""
    return [found.row for found in each_row(data, format, files_of)]


def each_row(data: Data, format: str, files_of: FilesOf) -> Iterator[Found]:
    """The rows of a data set, in order. Raises Failure with file and line of a bad row, and where there are none."""
    none = True
    for index, source in enumerate(data.sources):
        for found in islice(_rows_of(data, index, format, files_of), source.limit):
            yield found
            none = False
    if none:
        raise Failure("the sources hold no rows" + (" for which `where` holds" if _chooses(data) else ""))


def _rows_of(data: Data, index: int, format: str, files_of: FilesOf) -> Iterator[Found]:
    source = data.sources[index]
    made = maker(data, source, format)
    for file, raws in enumerate(_raws(source, files_of)):
        for number, raw in enumerate(raws):
            for part, row in enumerate(made(raw)):
                yield Found(row, index, file, number, raw.at, part)


def _chooses(data: Data) -> bool:
    return data.where is not None or any(source.where is not None for source in data.sources)


def maker(data: Data, source: Source, format: str) -> Callable[[Raw], list[Row]]:
    """The function that makes rows of a data set out of a row of one of its sources: none, one or several."""
    first, last = holds(source.where), holds(data.where)
    mappings = [build(word) for word in data.map]
    columns = columns_for(data.columns, format)

    def made(raw: Raw) -> list[Row]:
        rows = [raw.row] if first(raw.row, raw.place) else []
        for mapping in mappings:
            rows = [new for row in rows for new in _mapped(mapping, row, raw.place)]
        return [columns(row, raw.place) for row in rows if last(row, raw.place)]

    return made


def _mapped(mapping: Callable[[Row], Row | list[Row] | None], row: Row, place: str) -> list[Row]:
    try:
        found = mapping(row)
    except Failure as failure:
        raise Failure(f"{place}: {failure}") from None
    rows = [] if found is None else found if isinstance(found, list) else [found]
    wrong = next((item for item in rows if not isinstance(item, dict)), None)
    if wrong is not None:
        raise Failure(f"{place}: a mapping gave {type(wrong).__name__}; it gives a map, a list of maps, or nothing")
    return rows


def files_of_source(source: Source, files_of: FilesOf) -> list[Path]:
    """The files of a source that is no computed one, in order. Raises Failure where its split is not there."""
    assert source.path is not None
    on_hub = kind_of(source.path, "data") == "hub"
    files = files_of(revised(source.path, source.revision, "data"))
    if on_hub or source.split is not None or source.config is not None:
        files = files_of_split(source.path, files, source.config, source.split or "train")
    return [file.path for file in files]


def _raws(source: Source, files_of: FilesOf) -> Iterator[Iterator[Raw]]:
    if source.generate is not None:
        yield generated(source)
        return
    for path in files_of_source(source, files_of):
        yield rows_of_file(path)


def generated(source: Source) -> Iterator[Raw]:
    """The rows of a computed source."""
    assert source.generate is not None
    return (Raw(row, f"generated row {index}", index) for index, row in enumerate(build(source.generate)))


def columns_for(columns: Columns, format: str) -> _Columns:
    """How a row gives the columns that are used."""
    if format == "text":
        text_in = _column(columns.text)
        return lambda row, place: {"text": text_in(row, place)}
    prompt_in, response_in = _column(columns.prompt), _column(columns.response)
    named = [column for column in (columns.prompt, columns.response) if not is_template(column)]

    def read(row: Row, place: str) -> Row:
        if len(named) == 2 and columns.messages in row and not all(name in row for name in named):
            return {"messages": messages_in(row[columns.messages], place, columns.messages)}
        return {"prompt": prompt_in(row, place), "response": response_in(row, place)}

    return read


def messages_in(value: Any, place: str, column: str) -> list[dict[str, str]]:
    """A conversation. Raises Failure for what is none."""
    if not isinstance(value, list) or not value:
        raise Failure(f"{place}: column {column!r} holds {type(value).__name__}, not a list of messages")
    for message in value:
        texts = [message.get(key) for key in ("role", "content")] if isinstance(message, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise Failure(f"{place}: a message in column {column!r} is {{role, content}}, both texts, and not {str(message)[:80]}")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _column(column: str) -> Callable[[Row, str], str]:
    """How a row, at a place, gives one text: its column of that name, or a template over all columns."""
    if is_template(column):
        return text_of(column)

    def chosen(row: Row, place: str) -> str:
        if column not in row:
            raise Failure(f"{place}: no column {column!r}; it has {', '.join(map(repr, row))} (`columns` names them otherwise)")
        value = row[column]
        if not isinstance(value, str):
            raise Failure(f"{place}: column {column!r} holds {type(value).__name__}, not text")
        return value

    return chosen
