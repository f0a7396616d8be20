"""A learning rate that stays."""

from dataclasses import dataclass
from typing import ClassVar

from . import LrSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantRate(LrSchedule):
    """The peak until the end."""

    word: ClassVar[str] = "constant"
    library: ClassVar[str] = "constant_with_warmup"
