"""w(t) = -alpha'(t) / (1 - alpha(t)): the weight under which the loss is the negative ELBO (arXiv 2406.07524, eq. 10)."""

from torch import Tensor

from dllm_run.specs.vocabulary.weightings.schedule import ScheduleWeighting

from ..rows import Rows
from ..schedules import Schedule
from . import Weighting


def elbo_weight(schedule: Schedule, time: Tensor) -> Tensor:
    """-alpha'(t) / (1 - alpha(t)), same shape as t; 1/t for the linear schedule."""
    return -schedule.derivative(time) / (1 - schedule.alpha(time))


def by_schedule(schedule: Schedule, time_BX: Tensor, masked_BL: Tensor, rows: Rows) -> Tensor:
    """[B, X]: the same for all tokens of one time."""
    return elbo_weight(schedule, time_BX)


def build(word: ScheduleWeighting) -> Weighting:
    """The weighting of the word."""
    return by_schedule
