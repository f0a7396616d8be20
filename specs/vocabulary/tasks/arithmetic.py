"""Sums, differences and products of two numbers."""

from dataclasses import dataclass
from typing import ClassVar

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(BuiltInTask):
    """200 questions such as `What is 12 + 7?`, drawn by the seed; right if the first whole number of the answer is."""

    word: ClassVar[str] = "arithmetic"
    needs: ClassVar[tuple[str, ...]] = ("sampler",)
    ignores: ClassVar[tuple[str, ...]] = ("data", "likelihood", "allow_code_execution")
    questions: ClassVar[int] = 200
