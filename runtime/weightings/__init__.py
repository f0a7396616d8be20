"""Weightings w(t) of the cross-entropy of a masked token. Every module has `build(word) -> Weighting`."""

from typing import Protocol

from torch import Tensor

from ..schedules import Schedule


class Weighting(Protocol):
    """A weight for every masked token. B rows, L positions."""

    def __call__(self, schedule: Schedule, time_B: Tensor, masked_BL: Tensor, valid_BL: Tensor) -> Tensor:
        """Weights >= 0, [B, 1] or [B, L], at times in (0, 1]; only those of masked positions are read."""
