"""A learning rate that falls with the root of the steps."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import LrSchedule

_NO_WARMUP = 10_000
"""As transformers has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseSqrt(LrSchedule):
    """peak times the root of timescale / (timescale + steps since the warm-up): it knows no end, so that a run may be made longer."""

    word: ClassVar[str] = "inverse_sqrt"
    library: ClassVar[str] = "inverse_sqrt"

    timescale: int | None = leaf(
        "Steps until the square of the learning rate has halved; null: those of the warm-up, or 10000 without one.",
        unit="steps",
        default=None,
        minimum=1,
    )

    def arguments(self, *, steps: int, warmup: int, peak: float) -> dict[str, float | str]:
        return {"timescale": self.timescale or warmup or _NO_WARMUP}
