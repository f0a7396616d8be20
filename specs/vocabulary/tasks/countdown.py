"""Reach a number with others, each used once."""

from dataclasses import dataclass
from typing import ClassVar

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown(BuiltInTask):
    """The held-out rows of generator `countdown`, solved by legal steps that use every number and end at the target.

    Without `data` 200 puzzles of three or four numbers, drawn by the seed; solved if the answer's first line is a term that gives it.
    """

    word: ClassVar[str] = "countdown"
    needs: ClassVar[tuple[str, ...]] = ("sampler",)
    ignores: ClassVar[tuple[str, ...]] = ("likelihood", "allow_code_execution")
    questions: ClassVar[int] = 200
