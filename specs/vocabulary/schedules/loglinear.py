"""The log-linear schedule, alpha(t) = 1 - (1 - epsilon) t."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Loglinear(Schedule):
    """alpha(t) = exp(-sigma(t)), sigma(t) = -log(1 - (1 - epsilon) t), as in MDLM's code: linear, and at t = 1 a share epsilon is left."""

    word: ClassVar[str] = "loglinear"

    epsilon: float = leaf("Share of tokens still clean at t = 1.", default=1e-3, minimum=0, below=1)

    def mean_mask_rate(self, low: float, high: float) -> float:
        return (1 - self.epsilon) * (low + high) / 2
