"""Kappa schedules of Edit Flows. Every module has `build(word) -> Kappa`."""

from typing import Protocol

from torch import Tensor


class Kappa(Protocol):
    """The share of columns that hold the goal's token at time t, and its derivative; kappa(0) = 0, kappa(1) = 1, rising."""

    def kappa(self, t: Tensor) -> Tensor:
        """kappa(t), same shape as t in [0, 1]."""

    def derivative(self, t: Tensor) -> Tensor:
        """d kappa / d t, same shape as t."""


def rate_weight(schedule: Kappa, t: Tensor, most: float) -> Tensor:
    """kappa'(t) / (1 - kappa(t)), at most `most`: the rate at which an edit that remains at time t happens."""
    # In float64: near t = 1 the difference has few digits left.
    t = t.double()
    found: Tensor = (schedule.derivative(t) / (1 - schedule.kappa(t))).clamp(max=most)
    return found
