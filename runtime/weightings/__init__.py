"""Weightings w(t) of the cross-entropy of a masked token. Every module has `build(word) -> Weighting`."""

from typing import Protocol

from torch import Tensor

from ..rows import Rows
from ..schedules import Schedule


class Weighting(Protocol):
    """A weight for every masked token. B rows, L positions, X is 1 or L."""

    def __call__(self, schedule: Schedule, time_BX: Tensor, masked_BL: Tensor, rows: Rows) -> Tensor:
        """Weights >= 0, [B, 1] or [B, L], at times in (0, 1]; only those of masked positions are read."""
