"""Weightings: the factor w(t) on the cross-entropy of a masked token."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting(Word):
    """Base of the weightings."""
