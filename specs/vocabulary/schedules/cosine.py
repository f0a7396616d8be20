"""The cosine schedule, alpha(t) = 1 - cos(pi/2 (1 - t))."""

import math
from dataclasses import dataclass
from typing import ClassVar

from . import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Schedule):
    """alpha(t) = 1 - cos(pi/2 (1 - t)): more time at low mask rates."""

    word: ClassVar[str] = "cosine"

    def mean_mask_rate(self) -> float:
        return 2 / math.pi
