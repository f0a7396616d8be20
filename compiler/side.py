"""One side of a comparison: a plan with the places of its values, whether compiled just now or read from a compiled tree."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from dllm_run.specs.plan import Plan

from .compile import Compiled

ALONE = "-"
"""Name of the only point of a spec that has no others."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """What a comparison needs of a spec, of a compiled tree, or of one point of either."""

    plan: Plan
    seed: int
    """The root's."""
    places: dict[str, str]
    """Path of every value that was written to `file:line`; of a sweep, those outside it."""
    origins: dict[str, str]
    """Path of every copied or inherited value to where it was written."""

    @cached_property
    def all_written(self) -> bool:
        """Whether `places` knows all that was written: a sweep also writes values."""
        return [point.name for point in self.plan.points.values()] == [ALONE]


def side_of(compiled: Compiled) -> Side:
    """A compiled spec as a side."""
    return Side(plan=compiled.plan, seed=compiled.spec.seed, places=compiled.sources(), origins=compiled.origins())


def is_data_set(name: str) -> bool:
    """Whether a stage was made for the data set of another: names that users give have no dot."""
    return "." in name


def in_order(plan: Plan) -> Plan:
    """The same plan with its points by name and their stages as they run: files keep no order of keys."""
    position = {stage_id: index for index, stage_id in enumerate(plan.stages)}
    points = sorted(plan.points.items(), key=lambda item: _natural(item[1].name))
    return replace(plan, points={point_id: replace(point, stages=_as_run(point.stages, position)) for point_id, point in points})


def stage_names(order: Iterable[str], points: Iterable[dict[str, str]]) -> dict[str, str]:
    """One name of every stage, by id: that of the stage that runs first. `points` are names to ids, `order` is that of execution."""
    position = {stage_id: index for index, stage_id in enumerate(order)}
    found: dict[str, str] = {}
    for stages in points:
        for name, stage_id in _as_run(stages, position).items():
            found.setdefault(stage_id, name)
    return found


def _as_run(stages: dict[str, str], position: dict[str, int]) -> dict[str, str]:
    """A data set stands before the stage that it was made for."""
    return dict(sorted(stages.items(), key=lambda item: (position[stages[item[0].removesuffix(".data")]], not is_data_set(item[0]))))


def _natural(name: str) -> list[str | int]:
    """Numbers in a name compare as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]
