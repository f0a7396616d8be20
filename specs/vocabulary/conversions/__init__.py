"""Conversions: what a stage of kind convert makes of a model."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion(Word):
    """Base of the conversions."""

    edit_heads: ClassVar[bool] = False
    """Whether what comes out has heads for edits, whatever came in."""
    draws: ClassVar[bool] = False
    """Whether it draws random numbers."""
