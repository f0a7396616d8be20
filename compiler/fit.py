"""A stage against the memory of its device: what takes it up, and the smallest change that would fit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dllm_run.specs.devices import DEVICES
from dllm_run.specs.problem import Problem
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import members

from .estimate import Memory
from .estimate.facts import Facts, Modelled
from .estimate.settings import PROMPT, training_setting, world_of
from .estimate.stage import memory_of
from .estimate.units import gib, size
from .micro import COMFORT, device_memory, largest_micro

Own = Callable[[tuple[str, ...]], bool]
"""Whether a path of the stage is its own or a default at the top, so that it can be set in the stage."""
_SHORTEST = 1
"""Tokens of a question at the least."""


@dataclass(frozen=True, slots=True)
class _Cure:
    """A change of a stage under which it fits."""

    text: str
    path: tuple[str, ...]
    value: Any
    inside: tuple[tuple[str, ...], ...] = ()
    """Paths that a change of several fields writes."""


def memory_problems(name: str, facts: Facts, own: Own) -> Iterator[Problem]:
    """What the GPU, or the memory that a job asks for, does not hold; paths are those of the stage."""
    found = memory_of(facts)
    room = device_memory(facts.stage.compute)
    if found is None:
        return
    if room is None:
        yield from _job(name, facts, found)
        return
    # Of a library's questions the length is assumed: no reason to refuse.
    least = memory_of(facts, prompt=_SHORTEST)
    assert least is not None
    if least.total > room:
        yield _refusal(name, facts, least, room, own)
    elif found.total > COMFORT * room:
        yield _warning(name, facts, found, room, own)


def _refusal(name: str, facts: Facts, found: Memory, room: int, own: Own) -> Problem:
    cures = [cure for cure in _cures(facts, room, _SHORTEST) if all(map(own, cure.inside))]
    held = [cure.text for cure in cures] + _larger(found)
    advice = f"fits with {', or '.join(held)}" if held else "nothing smaller fits, and no GPU that is known here: train fewer parameters"
    return Problem(
        code="E330",
        message=f"stage {name!r} needs {size(found.total)} of memory on a GPU of {size(room)}",
        path=("compute", "gpu"),
        label=f"{size(room)}",
        notes=(*_rows(facts), _breakdown(found, room), advice, "an estimate, right to about 10 %: without `gpu` nothing is checked"),
        fix=(cures[0].path, cures[0].value) if cures else None,
    )


def _warning(name: str, facts: Facts, found: Memory, room: int, own: Own) -> Problem:
    cures = [cure for cure in _cures(facts, room, PROMPT) if all(map(own, cure.inside))]
    advice = (f"roomier with {', or '.join(cure.text for cure in cures)}",) if cures else ()
    may = "may not fit" if found.total > room else "leaves little room"
    return Problem(
        code="W330",
        severity="warning",
        message=f"stage {name!r} {may}: about {gib(found.total)} of {size(room)}, at the most {gib(found.high)}",
        path=("compute", "gpu"),
        label=f"{size(room)}",
        notes=(*_rows(facts), _breakdown(found, room), *advice),
        fix=(cures[0].path, cures[0].value) if cures else None,
    )


def _job(name: str, facts: Facts, found: Memory) -> Iterator[Problem]:
    limit = facts.stage.launch.memory_limit()
    if limit is None or facts.stage.compute.device != "cpu" or found.total <= COMFORT * limit:
        return
    yield Problem(
        code="W330",
        severity="warning",
        message=f"stage {name!r} needs about {size(found.total)}, its job asks for {size(limit)}",
        path=("launch", "mem"),
        notes=(_breakdown(found, limit),),
        fix=(("launch", "mem"), f"{int(found.total / COMFORT) // 2**30 + 1}G"),
    )


def _rows(facts: Facts) -> tuple[str, ...]:
    """What a forward pass holds."""
    stage = facts.stage
    if isinstance(stage, Training):
        return (f"micro batch {stage.batch.micro}, sequences of up to {facts.longest} tokens",)
    library = isinstance(stage, Eval) and any(task.name not in members(BuiltInTask) for task in stage.tasks)
    return (f"batch {stage.batch}" + (", if questions are long" if library else ""),)


def _breakdown(found: Memory, room: int) -> str:
    """The parts, largest first; the last lines are the sum and what there is."""
    unit, name, digits = (2**30, "GiB", 1) if found.total >= 2**30 else (2**20, "MiB", 0)
    parts = [row for row in found.table() if row[1] >= found.total / 1000]
    rows = [*parts, ("in all", found.total), ("the limit", room)]
    width = max(len(part) for part, _ in rows)
    lines = (f"{part:<{width}} {count / unit:7.{digits}f} {name}" for part, count in rows)
    return "\n".join([f"at the worst moment ({found.moment}):", *lines])


def _larger(found: Memory) -> list[str]:
    held = [(device.memory, name) for name, device in DEVICES.items() if found.total <= COMFORT * device.memory]
    return [f"a GPU such as {min(held)[1]}"] if held else []


def _cures(facts: Facts, room: int, prompt: int) -> Iterator[_Cure]:
    """What fits, the gentlest first: other rounding before another result."""
    stage = facts.stage
    if not isinstance(stage, Training):
        smaller = _smaller_batch(facts, room, prompt)
        if smaller is not None:
            yield _Cure(f"batch {smaller}", ("batch",), smaller)
        return
    assert stage.batch.micro is not None
    micro = _micro(facts, stage, room)
    if micro is not None and micro < stage.batch.micro:
        yield _Cure(f"micro {micro}", ("batch", "micro"), micro)
    if not stage.compute.gradient_checkpointing:
        saving = replace(stage, compute=replace(stage.compute, gradient_checkpointing=True))
        if _fits(facts, saving, room, prompt):
            yield _Cure("gradient_checkpointing", ("compute", "gradient_checkpointing"), True)
        elif micro is None and (both := _micro(facts, saving, room)) is not None:
            value = {"batch": {"micro": both}, "compute": {"gradient_checkpointing": True}}
            paths = (("batch", "micro"), ("compute",))
            yield _Cure(f"micro {both} and gradient_checkpointing", (), value, paths)
    if stage.compute.precision == "fp32" and _fits(facts, replace(stage, compute=replace(stage.compute, precision="bf16")), room, prompt):
        yield _Cure("precision bf16 (another result)", ("compute", "precision"), "bf16")


def _fits(facts: Facts, stage: Modelled, room: int, prompt: int) -> bool:
    found = memory_of(replace(facts, stage=stage), prompt)
    return found is not None and found.total <= COMFORT * room


def _micro(facts: Facts, stage: Training, room: int) -> int | None:
    assert facts.geometry is not None and facts.longest is not None
    setting = training_setting(stage, facts.longest, facts.kept)
    return largest_micro(facts.geometry, setting, max(1, stage.batch.global_ // world_of(stage.compute)), room)


def _smaller_batch(facts: Facts, room: int, prompt: int) -> int | None:
    """The largest smaller batch of a stage that trains nothing."""
    stage = facts.stage
    assert not isinstance(stage, Training)
    low, high = 0, stage.batch - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(facts, replace(stage, batch=middle), room, prompt) else (low, middle - 1)
    return low or None
