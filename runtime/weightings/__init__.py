"""Weightings w(t) of the cross-entropy of a masked token. Every module has `build(word) -> Weighting`."""

from typing import Protocol

from torch import Tensor

from ..schedules import Schedule


class Weighting(Protocol):
    """A weight for every time under a schedule."""

    def __call__(self, schedule: Schedule, t: Tensor) -> Tensor:
        """w(t) >= 0, same shape as t in (0, 1]."""
