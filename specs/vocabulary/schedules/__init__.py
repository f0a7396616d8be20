"""Noise schedules: alpha(t), the share of tokens still clean at time t, from alpha(0) = 1 to alpha(1) = 0."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Word):
    """Base of the noise schedules."""

    def mean_mask_rate(self, low: float, high: float) -> float:
        """Mean of 1 - alpha(t) over t from low to high, or a bound above it: what estimates of memory and time count with."""
        return 1.0
