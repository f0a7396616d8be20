"""Sums, differences and products."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(Generator):
    """Chains of additions, subtractions and multiplications with their value: `12+7*3=` is answered with `33`. No two rows are equal."""

    word: ClassVar[str] = "arithmetic"
    row_bytes: ClassVar[int] = 140

    size: int = leaf("Rows.", unit="rows", default=1000, minimum=1)
    terms: int = leaf("Numbers in a chain.", default=2, minimum=2, maximum=8)
    digits: int = leaf("Digits of a number, at most.", default=2, minimum=1, maximum=8)
    seed: int = leaf("Chooses the rows.", default=0, minimum=0)

    def count(self) -> int | None:
        """As many as asked for, or running says that there are not so many."""
        return self.size
