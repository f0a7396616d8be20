"""4x4 sudoku."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Relation, Requirement, Row

from . import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Sudoku(Generator):
    """All 288 solved 4x4 sudoku grids, each a text of 16 digits."""

    word: ClassVar[str] = "sudoku"
    total: ClassVar[int | None] = 288
    row_bytes: ClassVar[int] = 16
    alike: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="format",
            values=("text",),
            message="generator {subject} gives texts, and the data are read as {trait}",
        ),
        Requirement(
            trait="data.columns.text",
            values=("text",),
            when=(Condition(trait="format", values=("text",)),),
            message="generator {subject} gives the column 'text', and {trait!r} is read",
        ),
        Requirement(
            trait="data.max_length",
            relation=Relation.AT_LEAST,
            bound=17,
            when=(Condition(trait="tokenizer", values=("bytes", "characters")),),
            message="a grid of 16 cells and the end of its text do not fit {trait} tokens",
            reason="a model that never saw the end of a text writes one into the last cell",
            code="E315",
        ),
    )
