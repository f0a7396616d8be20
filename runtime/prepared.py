"""Reading what a data stage has stored."""

import json
from dataclasses import dataclass
from pathlib import Path

from datasets import load_from_disk

from .sequence import Sequence
from .sources import Row

TRAIN = "train"
HELD_OUT = "held_out"
ROWS = "held_out_rows.jsonl"
START = "start"
GOAL = "goal"
DOCUMENTS = "documents"


@dataclass(frozen=True, slots=True)
class Split:
    """Sequences of a split, read from disk as they are needed."""

    path: Path
    _table: object

    @classmethod
    def open(cls, data: Path, name: str) -> "Split":
        """A split of a data output."""
        return cls(data / name, load_from_disk(str(data / name)))

    def __len__(self) -> int:
        return len(self._table)  # type: ignore[arg-type]  # datasets has no types

    def sequence(self, index: int) -> Sequence:
        """A sequence."""
        row = self._table[index]  # type: ignore[index]  # datasets has no types
        return Sequence(tokens=row["tokens"], runs=row["runs"], documents=row.get(DOCUMENTS))

    @property
    def aligned(self) -> bool:
        """Whether every sequence is aligned with its start."""
        return START in self._table.column_names  # type: ignore[attr-defined]  # datasets has no types

    def alignment(self, index: int) -> tuple[list[int], list[int]]:
        """Columns of the start of a sequence and of itself."""
        row = self._table[index]  # type: ignore[index]  # datasets has no types
        return row[START], row[GOAL]


def held_out_rows(data: Path) -> list[Row]:
    """The held-out rows as they were read."""
    with (data / ROWS).open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
