"""alpha(t) = 1 - cos(pi/2 (1 - t))."""

import math

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.schedules.cosine import Cosine

from . import Schedule


class CosineSchedule:
    """alpha = 1 - cos(pi/2 (1 - t)), alpha' = -pi/2 sin(pi/2 (1 - t)), t = 1 - 2/pi arccos(1 - alpha)."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - torch.cos(math.pi / 2 * (1 - t))

    def derivative(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * torch.sin(math.pi / 2 * (1 - t))

    def time(self, alpha: Tensor) -> Tensor:
        return 1 - 2 / math.pi * torch.acos(1 - alpha)


def build(word: Cosine) -> Schedule:
    """The schedule of the word."""
    return CosineSchedule()
