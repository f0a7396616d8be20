"""A stage against the memory of its device: what takes it up, and the smallest change that would fit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dllm_run.specs.devices import DEVICES
from dllm_run.specs.problem import Problem
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.quantizations.nf4 import Nf4
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
_RANK = 64
_STORED = Nf4
"""The adapter and the quantisation that are offered."""
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
    offered = (*_cures(facts, room, _SHORTEST), *_adapters(facts, room, _SHORTEST))
    cures = [cure for cure in offered if all(map(own, cure.inside))]
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
    # What may fit as it is needs no other training, unless nothing else makes room.
    cures = [cure for cure in [*_cures(facts, room, PROMPT)] or _adapters(facts, room, PROMPT) if all(map(own, cure.inside))]
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
    # The limit is that of a node, the estimate that of a process.
    total = found.total * (facts.stage.compute.world // facts.stage.compute.nodes)
    if limit is None or facts.stage.compute.device != "cpu" or total <= COMFORT * limit:
        return
    yield Problem(
        code="W330",
        severity="warning",
        message=f"stage {name!r} needs about {size(total)}, its job asks for {size(limit)}",
        path=("launch", "mem"),
        notes=(_breakdown(found, limit),),
        fix=(("launch", "mem"), f"{int(total / COMFORT) // 2**30 + 1}G"),
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


def _adapters(facts: Facts, room: int, prompt: int) -> Iterator[_Cure]:
    """An adapter in the place of the weights, and beside it whatever else is needed: the first that fits."""
    stage = facts.stage
    if not isinstance(stage, Training):
        return
    model = stage.model
    if model.from_ is None or model.quantization is not None or model.lora is not None or model.adapter == "continue":
        return
    lora, compute = Lora(r=_RANK), replace(stage.compute, gradient_checkpointing=True)
    for smaller in (replace(model, lora=lora), replace(model, lora=lora, quantization=_STORED())):
        adapted = replace(stage, model=smaller)
        saving = replace(adapted, compute=compute)
        if _fits(facts, adapted, room, prompt):
            yield _adapter(stage, adapted)
            return
        if _fits(facts, saving, room, prompt):
            yield _adapter(stage, saving)
            return
        if (micro := _micro(facts, saving, room)) is not None:
            yield _adapter(stage, replace(saving, batch=replace(stage.batch, micro=micro)))
            return


def _adapter(before: Training, after: Training) -> _Cure:
    """The change from one stage to another, which has an adapter."""
    source = before.model.from_
    # With the weights, so that it may take the place of a text that names these alone.
    model = {"from": f"${{stages.{source.stage}}}" if isinstance(source, Reference) else source, "lora": _RANK}
    named = [f"lora: {_RANK}"]
    if after.model.quantization is not None:
        model["quantization"] = _STORED.word
        named.append(f"quantization: {_STORED.word}")
    value: dict[str, Any] = {"model": model}
    paths = [("model", key) for key in model if key != "from"]
    if after.batch.micro != before.batch.micro:
        value["batch"] = {"micro": after.batch.micro}
        named.append(f"micro {after.batch.micro}")
        paths.append(("batch", "micro"))
    if after.compute.gradient_checkpointing != before.compute.gradient_checkpointing:
        value["compute"] = {"gradient_checkpointing": True}
        named.append("gradient_checkpointing")
        paths.append(("compute", "gradient_checkpointing"))
    text = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named) + " (another result)"
    if len(named) == 1:
        return _Cure(text, ("model", "lora"), _RANK)
    return _Cure(text, (), value, tuple(paths))


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
