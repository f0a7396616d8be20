"""Held-out 4x4 sudoku puzzles."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Relation, Requirement, Row

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class SudokuTask(BuiltInTask):
    """Held-out grids with 60 % of the cells emptied, filled in by the sampler; scored by whether all rules hold."""

    word: ClassVar[str] = "sudoku"
    needs: ClassVar[tuple[str, ...]] = ("data", "sampler")
    emptied: ClassVar[float] = 0.6
    ignores: ClassVar[tuple[str, ...]] = ("likelihood", "max_new_tokens", "chat_template", "allow_code_execution")
    takes_examples: ClassVar[bool] = False
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="weights.scratch.positions",
            relation=Relation.AT_LEAST,
            bound=17,
            when=(Condition(trait="tokenizer", values=("bytes", "characters")),),
            message="a puzzle of 16 cells and the end of its text do not fit a model of {trait} positions",
            code="E315",
        ),
        Requirement(
            trait="format",
            values=("text",),
            message="task {subject} reads grids as texts, and the data are read as {trait}",
        ),
    )
