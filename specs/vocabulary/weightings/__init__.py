"""Weightings: the factor w(t) on the cross-entropy of a masked token."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting(Word):
    """Base of the weightings."""

    reads_both_sides: ClassVar[bool] = False
    """Whether a weight depends on tokens to the right of its own, so that no block-causal objective may use it."""
