"""Held-out 4x4 sudoku puzzles."""

from dataclasses import dataclass
from typing import ClassVar

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class SudokuTask(BuiltInTask):
    """Held-out grids with 60 % of the cells emptied, filled in by the sampler; scored by whether all rules hold."""

    word: ClassVar[str] = "sudoku"
    needs: ClassVar[tuple[str, ...]] = ("data", "sampler")
    emptied: ClassVar[float] = 0.6
