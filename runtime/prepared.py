"""What a data stage stores: sequences of a split, written in batches and read from disk as they are needed."""

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from .align import Alignment
from .sequence import Sequence
from .sources import Row
from .streamed import StreamedSplit

TRAIN = "train"
HELD_OUT = "held_out"
ROWS = "held_out_rows.jsonl"
_START = "start"
_GOAL = "goal"
_DOCUMENTS = "documents"
_BATCH = 1024
_NUMBERS = pa.list_(pa.int32())


class Sequences(Protocol):
    """Sequences of a split by their number."""

    aligned: bool
    """Whether every sequence is aligned with its start."""
    windowed: bool
    """Whether neighbours are to be read at about the same time."""

    def __len__(self) -> int: ...

    def sequence(self, index: int) -> Sequence:
        """A sequence."""

    def alignment(self, index: int) -> tuple[list[int], list[int]]:
        """Columns of the start of a sequence and of itself."""

    def lengths(self) -> np.ndarray[Any, Any]:
        """Tokens of each."""


class Split:
    """Sequences of a split that are stored as tokens."""

    windowed = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns = _columns(path)
        self.aligned = _START in self._columns

    @staticmethod
    def open(data: Path, name: str) -> Sequences:
        """A split of a data output: stored, or read while training."""
        stored = data / f"{name}.arrow"
        return Split(stored) if stored.is_file() else StreamedSplit(data)

    def __reduce__(self) -> tuple[type["Split"], tuple[Path]]:
        # A process that loads rows opens the file itself: what is mapped into memory would be copied whole.
        return Split, (self.path,)

    def __len__(self) -> int:
        return self._columns["tokens"].count

    def sequence(self, index: int) -> Sequence:
        """A sequence."""
        documents = self._columns[_DOCUMENTS][index] if _DOCUMENTS in self._columns else None
        return Sequence(tokens=self._columns["tokens"][index], runs=self._columns["runs"][index], documents=documents)

    def alignment(self, index: int) -> tuple[list[int], list[int]]:
        """Columns of the start of a sequence and of itself."""
        return self._columns[_START][index], self._columns[_GOAL][index]

    def lengths(self) -> np.ndarray[Any, Any]:
        """Tokens of each."""
        return self._columns["tokens"].lengths()


class _Column:
    """Lists of numbers in the batches of a file."""

    def __init__(self, batches: list[Any]) -> None:
        self._offsets = [batch.offsets.to_numpy() for batch in batches]
        self._values = [batch.values.to_numpy() for batch in batches]
        self._starts = np.cumsum([0, *(len(batch) for batch in batches)])
        self.count = int(self._starts[-1])

    def __getitem__(self, index: int) -> list[int]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        batch = int(np.searchsorted(self._starts, index, side="right")) - 1
        place = index - int(self._starts[batch])
        first, last = self._offsets[batch][place : place + 2]
        found: list[int] = self._values[batch][first:last].tolist()
        return found

    def lengths(self) -> np.ndarray[Any, Any]:
        return np.concatenate([np.diff(offsets) for offsets in self._offsets]) if self._offsets else np.zeros(0, dtype=np.int32)


def _columns(path: Path) -> dict[str, _Column]:
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        return {name: _Column([batch.column(name) for batch in batches]) for name in reader.schema.names}


class Writer:
    """Writes sequences to a file, a batch at a time: what was written needs no memory. The bytes depend on the sequences alone."""

    def __init__(self, path: Path, *, documents: bool = False, aligned: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.sequences = self.tokens = self.learned = 0
        self._names = ["tokens", "runs", *([_DOCUMENTS] if documents else []), *([_START, _GOAL] if aligned else [])]
        self._schema = pa.schema([(name, _NUMBERS) for name in self._names])
        self._writer = pa.ipc.new_file(str(path), self._schema)
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, found: Sequence, alignment: Alignment | None = None) -> None:
        """One more sequence."""
        row: dict[str, Any] = {"tokens": found.tokens, "runs": found.runs, _DOCUMENTS: found.documents}
        if alignment is not None:
            row |= {_START: alignment.source, _GOAL: alignment.goal}
        self._rows.append(tuple(row[name] for name in self._names))
        self.sequences += 1
        self.tokens += len(found.tokens)
        self.learned += sum(found.runs[1::2])
        if len(self._rows) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = [_lists(values) for values in zip(*self._rows, strict=True)]
            self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
            self._rows.clear()


def _lists(values: tuple[Any, ...]) -> Any:
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    numbers = np.concatenate([np.asarray(value, dtype=np.int32) for value in values])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers))


def held_out_rows(data: Path) -> list[Row]:
    """The held-out rows as they were read."""
    with (data / ROWS).open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def write_held_out_rows(data: Path, rows: Iterable[Row]) -> None:
    """Keep the held-out rows as they were read, for tasks."""
    with (data / ROWS).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
