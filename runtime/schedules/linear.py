"""alpha(t) = 1 - t."""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.schedules.linear import Linear

from . import Schedule


class LinearSchedule:
    """alpha = 1 - t, alpha' = -1, t = 1 - alpha."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def derivative(self, t: Tensor) -> Tensor:
        return torch.full_like(t, -1.0)

    def time(self, alpha: Tensor) -> Tensor:
        return 1 - alpha


def build(word: Linear) -> Schedule:
    """The schedule of the word."""
    return LinearSchedule()
