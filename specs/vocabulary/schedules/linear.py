"""The linear schedule, alpha(t) = 1 - t."""

from dataclasses import dataclass
from typing import ClassVar

from . import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Schedule):
    """alpha(t) = 1 - t: the mask rate is t itself (LLaDA, MDLM)."""

    word: ClassVar[str] = "linear"

    def mean_mask_rate(self, low: float, high: float) -> float:
        return (low + high) / 2
