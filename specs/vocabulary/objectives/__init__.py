"""Objectives: what a training stage minimises."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective(Word):
    """Base of the objectives."""

    def scored_share(self) -> float:
        """Mean share of positions that reach the head, or a bound above it."""
        return 1.0

    def in_strata(self) -> bool:
        """Whether the rows of a global batch are masked the more the later they stand in it."""
        return False
