"""w(t) = 1."""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.weightings.uniform import UniformWeighting

from ..schedules import Schedule
from . import Weighting


def uniform_weight(schedule: Schedule, time_B: Tensor, masked_BL: Tensor, valid_BL: Tensor) -> Tensor:
    """[B, 1]: 1 at every time."""
    return torch.ones_like(time_B)[:, None]


def build(word: UniformWeighting) -> Weighting:
    """The weighting of the word."""
    return uniform_weight
