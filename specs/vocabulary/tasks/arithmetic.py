"""Sums, differences and products."""

from dataclasses import dataclass
from typing import ClassVar

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(BuiltInTask):
    """The held-out rows of generator `arithmetic`; without `data` 200 questions such as `What is 12 + 7?`, drawn by the seed.

    An answer is right if its first whole number is.
    """

    word: ClassVar[str] = "arithmetic"
    needs: ClassVar[tuple[str, ...]] = ("sampler",)
    ignores: ClassVar[tuple[str, ...]] = ("likelihood", "allow_code_execution")
    questions: ClassVar[int] = 200
