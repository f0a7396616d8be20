"""4x4 sudoku."""

from dataclasses import dataclass
from typing import ClassVar

from . import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Sudoku(Generator):
    """All 288 solved 4x4 sudoku grids, each a text of 16 digits."""

    word: ClassVar[str] = "sudoku"
    rows: ClassVar[int | None] = 288
    row_bytes: ClassVar[int] = 16
