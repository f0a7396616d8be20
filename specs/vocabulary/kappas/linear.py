"""The linear kappa schedule, kappa(t) = t."""

from dataclasses import dataclass
from typing import ClassVar

from . import Kappa


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearKappa(Kappa):
    """kappa(t) = t: edits at an even pace."""

    word: ClassVar[str] = "linear"

    def mean_remaining(self) -> float:
        return 0.5
