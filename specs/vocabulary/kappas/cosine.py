"""The cosine kappa schedule, kappa(t) = 1 - cos(pi/2 t)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from . import Kappa


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineKappa(Kappa):
    """kappa(t) = 1 - cos(pi/2 t): slow at first."""

    word: ClassVar[str] = "cosine"

    def mean_remaining(self) -> float:
        return 2 / math.pi
