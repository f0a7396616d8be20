"""Generators: data sets that are computed, not read."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator(Word):
    """Base of the generators."""

    total: ClassVar[int | None] = None
    """How many there are; None where the fields say so, or only running tells."""
    row_bytes: ClassVar[int] = 0
    """UTF-8 bytes of each, at most, where their number is known."""
    alike: ClassVar[bool] = False
    """Whether all have as many."""

    def count(self) -> int | None:
        """How many rows it gives; None where only running tells."""
        return self.total
