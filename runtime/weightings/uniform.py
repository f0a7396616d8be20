"""w(t) = 1."""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.weightings.uniform import UniformWeighting

from ..rows import Rows
from ..schedules import Schedule
from . import Weighting


def uniform_weight(schedule: Schedule, time_BX: Tensor, masked_BL: Tensor, rows: Rows) -> Tensor:
    """[B, X]: 1 at every time."""
    return torch.ones_like(time_BX)


def build(word: UniformWeighting) -> Weighting:
    """The weighting of the word."""
    return uniform_weight
