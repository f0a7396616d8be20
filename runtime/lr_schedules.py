"""Learning-rate schedules as transformers knows them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from dllm_run.specs.vocabulary.lr_schedules import LrSchedule


class Scheduled(NamedTuple):
    """A schedule of transformers: its name, and its arguments for (steps of the run, of the warm-up, peak)."""

    name: str
    arguments: Callable[[int, int, float], dict[str, Any]]


def build(word: LrSchedule) -> Scheduled:
    """The schedule of the word."""
    return Scheduled(word.library, lambda steps, warmup, peak: dict(word.arguments(steps=steps, warmup=warmup, peak=peak)))
