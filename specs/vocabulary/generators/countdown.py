"""Countdown: reach a number by the four operations."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown(Generator):
    """Numbers and a target, and the steps that lead there: `3 5 8 = 64` is answered with `3+5=8, 8*8=64`. No two rows are equal."""

    word: ClassVar[str] = "countdown"
    row_bytes: ClassVar[int] = 160

    size: int = leaf("Rows.", unit="rows", default=1000, minimum=1)
    numbers: int = leaf("Numbers that are given, each used once.", default=3, minimum=2, maximum=6)
    largest: int = leaf("The largest of them; no step is beyond its square.", default=20, minimum=2, maximum=1000)
    seed: int = leaf("Chooses the rows.", default=0, minimum=0)

    def count(self) -> int | None:
        """As many as asked for, or running says that there are not so many."""
        return self.size
