"""Generators: data sets that are computed, not read."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator(Word):
    """Base of the generators."""

    total: ClassVar[int | None] = None
    """How many there are; None where only running tells."""
    row_bytes: ClassVar[int] = 0
    """UTF-8 bytes of each, where `total` is known."""
