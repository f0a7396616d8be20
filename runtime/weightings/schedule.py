"""w(t) = -alpha'(t) / (1 - alpha(t)): the weight under which the loss is the negative ELBO (arXiv 2406.07524, eq. 10)."""

from torch import Tensor

from dllm_run.specs.vocabulary.weightings.schedule import ScheduleWeighting

from ..schedules import Schedule
from . import Weighting


def elbo_weight(schedule: Schedule, t: Tensor) -> Tensor:
    """-alpha'(t) / (1 - alpha(t)); 1/t for the linear schedule."""
    return -schedule.derivative(t) / (1 - schedule.alpha(t))


def build(word: ScheduleWeighting) -> Weighting:
    """The weighting of the word."""
    return elbo_weight
