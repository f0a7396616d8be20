"""Learning-rate schedules: the learning rate after the warm-up, as a share of its peak."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.problem import Problem
from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class LrSchedule(Word):
    """Base of the learning-rate schedules. transformers has all of them; a word says under which name, and with which arguments."""

    implementation: ClassVar[str] = "dllm_run.runtime.lr_schedules"
    library: ClassVar[str] = ""
    """Its name among transformers' schedulers."""

    def arguments(self, *, steps: int, warmup: int, peak: float) -> dict[str, float | str]:
        """What transformers is told beyond the steps of the run and of its warm-up."""
        return {}

    def problems_within(self, steps: int, warmup: int) -> Iterator[Problem]:
        """What does not fit into a run of so many steps; paths are those of the schedule."""
        yield from ()
