"""The weighting that counts every masked token alike."""

from dataclasses import dataclass
from typing import ClassVar

from . import Weighting


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformWeighting(Weighting):
    """w(t) = 1: every masked token counts alike; the loss is no bound, its variance is lower."""

    word: ClassVar[str] = "uniform"
