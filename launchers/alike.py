"""Stages that ask for the same things: those of one name that one script, or one array, can run."""

from collections.abc import Callable, Collection

from dllm_run.specs.plan import Plan


def alike(plan: Plan, key: Callable[[str], str], among: Collection[str] | None = None) -> list[tuple[str, list[str]]]:
    """Names and ids of stages, in an order in which each comes after those it needs; `key` tells what a stage asks for.

    A name has several groups where its stages need each other, or ask for other things. `among`: these stages only.
    """
    depth = _depths(plan)
    groups: dict[tuple[int, str, str], list[str]] = {}
    owned: set[str] = set()
    for point in plan.points.values():
        for name, stage_id in point.stages.items():
            # Two names of one stage: the first one's job does it.
            if stage_id not in owned and (among is None or stage_id in among):
                owned.add(stage_id)
                groups.setdefault((depth[stage_id], name, key(stage_id)), []).append(stage_id)
    order = {stage_id: number for number, stage_id in enumerate(plan.stages)}
    ordered = sorted(groups.items(), key=lambda group: (group[0][0], order[group[1][0]]))
    return [(name, ids) for (_, name, _), ids in ordered]


def _depths(plan: Plan) -> dict[str, int]:
    """How many stages must have run one after the other before each."""
    found: dict[str, int] = {}
    for stage_id, stage in plan.stages.items():
        found[stage_id] = max((found[need.stage] + 1 for need in stage.needs), default=0)
    return found
