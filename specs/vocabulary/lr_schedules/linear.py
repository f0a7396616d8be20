"""A learning rate that falls in a line."""

from dataclasses import dataclass
from typing import ClassVar

from . import LrSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearRate(LrSchedule):
    """From the peak to 0 in a line."""

    word: ClassVar[str] = "linear"
    library: ClassVar[str] = "linear"
