"""The micro batch, solved where the spec leaves it open: the largest that a declared GPU holds. By the text of the spec alone."""

import math
from dataclasses import replace
from functools import lru_cache

from dllm_run.specs.devices import DEVICES
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.training import Training

from .estimate import Setting
from .estimate.facts import facts_of
from .estimate.memory import training_total
from .estimate.settings import training_setting
from .follow import StageOf

COMFORT = 0.9
"""Share of a device's memory that an estimate may fill: it is right to about a tenth."""


def device_memory(compute: Compute) -> int | None:
    """Bytes of the GPU that a stage computes on; None on a CPU, or where it is not said which GPU."""
    if compute.gpu is None or compute.completed().device != "cuda":
        return None
    return DEVICES[compute.gpu].memory


def micro_solved(stage: Stage, stage_of: StageOf) -> Stage:
    """A training stage with its micro batch, where GPU and geometry are known from the text; any other stage as it is."""
    if not isinstance(stage, Training) or stage.batch.micro is not None:
        return stage
    memory = device_memory(stage.compute)
    facts = facts_of(stage, stage_of, None) if memory is not None else None
    if memory is None or facts is None or facts.geometry is None:
        return stage
    assert facts.longest is not None
    setting = training_setting(stage.completed(), facts.longest, facts.kept)
    found = largest_micro(facts.geometry, setting, max(1, stage.batch.global_ // setting.world), memory)
    return replace(stage, batch=replace(stage.batch, micro=found or 1))


@lru_cache(maxsize=4096)
def largest_micro(geometry: Geometry, setting: Setting, rows: int, memory: int) -> int | None:
    """The largest divisor of `rows`, those of a process and step, that fits as micro batch; None where not even one row does."""

    def fits(micro: int) -> bool:
        total = training_total(geometry, replace(setting, micro=micro, accumulation=rows // micro))
        return total <= COMFORT * memory

    *smaller, whole = _divisors(rows)
    if fits(whole):  # without accumulation no gradients wait: it may fit where half of it does not
        return whole
    low, high = 0, len(smaller)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if fits(smaller[middle]) else (low, middle)
    return smaller[low - 1] if low else None


def _divisors(whole: int) -> list[int]:
    small = [number for number in range(1, math.isqrt(whole) + 1) if whole % number == 0]
    return sorted({*small, *(whole // number for number in small)})
