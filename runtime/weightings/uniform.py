"""w(t) = 1."""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.weightings.uniform import UniformWeighting

from ..schedules import Schedule
from . import Weighting


def uniform_weight(schedule: Schedule, t: Tensor) -> Tensor:
    """1 at every time."""
    return torch.ones_like(t)


def build(word: UniformWeighting) -> Weighting:
    """The weighting of the word."""
    return uniform_weight
