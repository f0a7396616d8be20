"""Slurm: a batch script a stage, an array where the sweep has many points. Pure text; sending it off comes with `submit`."""

import re
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.launchers.slurm import Slurm
from dllm_run.specs.vocabulary.stages import Stage

from .template import fill

_OWN = ("HOME", "PATH", "USER", "DLLM_RUN_TREE", "DLLM_RUN_RUNS", "DLLM_RUN_BASE")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The stages that share a name: one script."""

    stage: str
    ids: list[str]
    file: str
    variable: str
    after: list[str]


def render(plan: Plan) -> dict[str, str]:
    """`submit.sh` and a script for each stage name; stages that points share are in it once."""
    batches = _batches(plan)
    out = {batch.file: _script(plan, batch) for batch in batches}
    out["submit.sh"] = fill("submit.sh", {"name": plan.name, "jobs": batches})
    return out


def _batches(plan: Plan) -> list[_Batch]:
    """One batch a name, in an order in which each comes after those it needs."""
    ids: dict[str, list[str]] = {}
    for point in plan.points.values():
        for name, stage_id in point.stages.items():
            found = ids.setdefault(name, [])
            if stage_id not in found:
                found.append(stage_id)
    order = list(plan.stages)
    names = sorted(ids, key=lambda name: max(order.index(stage_id) for stage_id in ids[name]))
    owner: dict[str, str] = {}
    batches: list[_Batch] = []
    for name in names:
        # Two names of one stage: the first one's job does it.
        mine = [stage_id for stage_id in ids[name] if stage_id not in owner]
        if not mine:
            continue
        owner.update(dict.fromkeys(mine, name))
        needed = {owner[need.stage] for stage_id in mine for need in plan.stages[stage_id].needs}
        after = [f"${{{_variable(other)}}}" for other in names if other in needed and other != name]
        batches.append(_Batch(stage=name, ids=mine, file=f"{name}.sbatch", variable=_variable(name), after=after))
    return batches


def _variable(name: str) -> str:
    return "job_" + re.sub(r"\W", "_", name)


def _script(plan: Plan, batch: _Batch) -> str:
    body = plan.stages[batch.ids[0]].body
    launch = body.launch if isinstance(body.launch, Slurm) else Slurm()
    points = {stage_id: [point.name for point in plan.points.values() if stage_id in point.stages.values()] for stage_id in batch.ids}
    shown = [
        (stage_id, ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")) for stage_id, names in points.items()
    ]
    return fill(
        "stage.sbatch",
        {
            "name": plan.name,
            "stage": batch.stage,
            "ids": shown,
            "options": _options(body, launch),
            "max_parallel": launch.array.max_parallel,
            "exported": [*_OWN, *launch.env],
            "setup": launch.setup,
        },
    )


def _options(body: Stage, launch: Slurm) -> list[tuple[str, Any]]:
    named = {
        "partition": launch.partition,
        "account": launch.account,
        "qos": launch.qos,
        "time": launch.time,
        "cpus-per-task": launch.cpus_per_task,
        "mem": launch.mem,
        "gpus-per-node": body.compute.gpus_per_node or None,
    }
    given = [(option, value) for option, value in named.items() if value is not None]
    return given + [(option, None if value is True else value) for option, value in sorted(launch.extra.items()) if value is not False]
