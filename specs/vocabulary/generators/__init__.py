"""Generators: data sets that are computed, not read."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator(Word):
    """Base of the generators."""

    total: ClassVar[int | None] = None
    """Rows that it gives; None: not known before it runs."""
