"""Estimates of the stages of a plan: columns of its table, the lines below, and the same for --json."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dllm_run.compiler.estimate.stage import Course, Estimate, estimate
from dllm_run.compiler.estimate.units import counted, gib, size, span
from dllm_run.compiler.sizes import Sizes
from dllm_run.specs.plan import Plan

Estimates = dict[str, Estimate]
"""By stage id."""


def estimates(plan: Plan, base: Path, stages: list[str]) -> Estimates:
    """Estimates of some stages of a plan; `base` is where relative paths of the spec start."""
    at_hand = Sizes(base)
    # What does not say how many cores it gets is local, and gets those of this machine.
    here = len(os.sched_getaffinity(0))
    return {
        stage_id: estimate(plan.stages[stage_id].body, lambda other: plan.stages[other].body, at_hand, _cores(plan, stage_id, here))
        for stage_id in stages
    }


def _cores(plan: Plan, stage_id: str, here: int) -> int | None:
    return here if plan.stages[stage_id].body.launch.here else None


def cells(found: Estimate) -> tuple[str, str, str]:
    """Devices, memory and time of a stage."""
    return _devices(found), _memory(found), span(*found.seconds) if found.seconds is not None else "-"


def _devices(found: Estimate) -> str:
    if not found.devices:
        return "cpu"
    return f"{found.devices} {found.gpu or ('GPU' if found.devices == 1 else 'GPUs')}"


def _memory(found: Estimate) -> str:
    if found.memory is None:
        return "-"
    if found.capacity is None:
        return f"~{size(found.memory.total)}"
    return f"{gib(found.memory.total)} of {size(found.capacity)}"


def footer(plan: Plan, found: Estimates) -> list[str]:
    """What each training goes through, then what the estimates assume."""
    lines = [f"{plan.name_of(stage_id)}: {_course(item.course)}" for stage_id, item in found.items() if item.course is not None]
    assumed = dict.fromkeys(text for item in found.values() for text in item.assumptions)
    return [*lines, f"estimates: {'; '.join(assumed)}"] if assumed else lines


def _course(course: Course) -> str:
    parts = [_steps(course.steps)]
    if course.warmup:
        parts.append(f"{course.warmup} warm-up")
    processes = f" x {course.processes} processes" if course.processes > 1 else ""
    parts.append(f"micro {course.micro} x accumulation {course.accumulation}{processes}")
    if course.checkpoints is not None:
        last = "the last" if course.kept == 1 else f"the last {course.kept}"
        kept = f", {last} kept" if course.kept is not None and course.kept < course.checkpoints else ""
        weight = f" of {size(course.checkpoint_bytes)}" if course.checkpoint_bytes is not None else ""
        parts.append(f"{counted(course.checkpoints, 'checkpoint')}{weight}{kept}")
    return ", ".join(parts)


def _steps(steps: tuple[int, int] | None) -> str:
    if steps is None:
        return "optimizer steps follow from the rows"
    least, most = steps
    return counted(most, "optimizer step") if least == most else f"{least} to {most} optimizer steps"


def as_json(found: Estimate) -> dict[str, Any]:
    """The estimate as plain data; what is not known is null. Bytes, operations and seconds."""
    memory = found.memory
    parts = None if memory is None else {part.replace(" ", "_"): count for part, count in memory.table()}
    bounds = None if memory is None else {"total": memory.total, "low": memory.low, "high": memory.high, "moment": memory.moment}
    return {
        "devices": found.devices,
        "gpu": found.gpu,
        "capacity": found.capacity,
        "memory": None if bounds is None else {**bounds, "parts": parts},
        "flops": found.flops,
        "seconds": found.seconds,
        "training": None if found.course is None else asdict(found.course),
        "assumptions": list(found.assumptions),
    }
