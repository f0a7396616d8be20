"""A learning rate that falls by a power."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from . import LrSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class PolynomialRate(LrSchedule):
    """From the peak to a share of it: min_ratio + (1 - min_ratio) (1 - x)^power at share x of the way."""

    word: ClassVar[str] = "polynomial"
    library: ClassVar[str] = "polynomial"

    power: float = leaf("Exponent of the share of the way that is left.", default=2.0, above=0)
    min_ratio: float = leaf("Where it ends, as a share of the peak.", default=0.0, minimum=0, below=1)

    def arguments(self, *, steps: int, warmup: int, peak: float) -> dict[str, float | str]:
        return {"power": self.power, "lr_end": self.min_ratio * peak}

    def problems_within(self, steps: int, warmup: int) -> Iterator[Problem]:
        # transformers divides by the steps that are left.
        if warmup == steps:
            yield Problem(code="E312", message=f"a warm-up of {warmup} steps leaves none in which the learning rate could fall")
