"""Noise schedules alpha(t). Every module has `build(word) -> Schedule`."""

from typing import Protocol

from torch import Tensor


class Schedule(Protocol):
    """The share of tokens still clean at time t, its derivative and its inverse; alpha(0) = 1, alpha(1) = 0, falling."""

    def alpha(self, t: Tensor) -> Tensor:
        """alpha(t), same shape as t in [0, 1]."""

    def derivative(self, t: Tensor) -> Tensor:
        """d alpha / d t, same shape as t."""

    def time(self, alpha: Tensor) -> Tensor:
        """The t whose alpha(t) is given, same shape."""
