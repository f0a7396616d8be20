"""The order of the points of a plan that was read from a file: JSON with sorted keys keeps none."""

from collections.abc import Iterable
from dataclasses import replace

from dllm_run.compiler.points import labels_of, value_text
from dllm_run.specs.plan import Plan, Point


def in_spec_order(plan: Plan) -> Plan:
    """The same plan with its points, and the axes of each, in the order of the spec.

    Stages stand in the order in which points first needed them, so the newest stage of a point tells its place; among points
    that share it, the next newest. Points that share all of them go by name.
    """
    position = {stage_id: index for index, stage_id in enumerate(plan.stages)}

    def place(point: Point) -> tuple[list[int], str]:
        return sorted((position[stage_id] for stage_id in point.stages.values()), reverse=True), point.name

    labels = labels_of(paths_of(plan.points.values()))
    found = sorted(plan.points.items(), key=lambda item: place(item[1]))
    return replace(plan, points={point_id: _axes_in_order(point, labels) for point_id, point in found})


def paths_of(points: Iterable[Point]) -> list[str]:
    """Every path that the sweep assigns."""
    return list(dict.fromkeys(path for point in points for path in point.values))


def _axes_in_order(point: Point, labels: dict[str, str]) -> Point:
    """The name has them in order."""
    name = f",{point.name},"
    paths = sorted(point.values, key=lambda path: name.find(f",{labels[path]}={value_text(point.values[path])},"))
    return replace(point, values={path: point.values[path] for path in paths})
