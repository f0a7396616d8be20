"""The weighting that makes the loss a bound on the likelihood."""

from dataclasses import dataclass
from typing import ClassVar

from . import Weighting


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleWeighting(Weighting):
    """w(t) = -alpha'(t) / (1 - alpha(t)): the loss is the negative ELBO (1/t for the linear schedule)."""

    word: ClassVar[str] = "schedule"
