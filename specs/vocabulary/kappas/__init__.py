"""Kappa schedules: kappa(t), the share of a text that has its goal's tokens at time t, from kappa(0) = 0 to kappa(1) = 1."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Kappa(Word):
    """Base of the kappa schedules of Edit Flows."""

    def mean_remaining(self) -> float:
        """Mean of 1 - kappa(t) over t, or a bound above it: what estimates of memory and time count with."""
        return 1.0
