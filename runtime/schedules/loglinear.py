"""alpha(t) = 1 - (1 - epsilon) t."""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.schedules.loglinear import Loglinear

from . import Schedule


class LoglinearSchedule:
    """alpha = 1 - (1 - epsilon) t, alpha' = -(1 - epsilon), t = (1 - alpha) / (1 - epsilon)."""

    def __init__(self, epsilon: float) -> None:
        self.slope = 1 - epsilon

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - self.slope * t

    def derivative(self, t: Tensor) -> Tensor:
        return torch.full_like(t, -self.slope)

    def time(self, alpha: Tensor) -> Tensor:
        return (1 - alpha) / self.slope


def build(word: Loglinear) -> Schedule:
    """The schedule of the word."""
    return LoglinearSchedule(word.epsilon)
