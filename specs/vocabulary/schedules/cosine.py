"""The cosine schedule, alpha(t) = 1 - cos(pi/2 (1 - t))."""

import math
from dataclasses import dataclass
from typing import ClassVar

from . import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Schedule):
    """alpha(t) = 1 - cos(pi/2 (1 - t)): more time at low mask rates."""

    word: ClassVar[str] = "cosine"

    def mean_mask_rate(self, low: float, high: float) -> float:
        # 1 - alpha(t) = sin(pi/2 t).
        return 2 / math.pi * (math.cos(math.pi / 2 * low) - math.cos(math.pi / 2 * high)) / (high - low)
