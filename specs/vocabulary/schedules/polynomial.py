"""The polynomial schedules, alpha(t) = 1 - t^power."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial(Schedule):
    """alpha(t) = 1 - t^power: more time at low mask rates above 1 (2: the square), at high ones below (0.5: the root)."""

    word: ClassVar[str] = "polynomial"

    power: float = leaf("Exponent of t in the mask rate; 1 is the linear schedule.", default=2.0, above=0)

    def mean_mask_rate(self, low: float, high: float) -> float:
        above = self.power + 1
        return float(high**above - low**above) / (above * (high - low))
