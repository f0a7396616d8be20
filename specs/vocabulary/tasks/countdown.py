"""Reach a number with others, each used once."""

from dataclasses import dataclass
from typing import ClassVar

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown(BuiltInTask):
    """200 puzzles of three or four numbers and a target, drawn by the seed; solved if the answer's first line is a term that gives it."""

    word: ClassVar[str] = "countdown"
    needs: ClassVar[tuple[str, ...]] = ("sampler",)
    ignores: ClassVar[tuple[str, ...]] = ("data", "likelihood", "allow_code_execution")
    questions: ClassVar[int] = 200
