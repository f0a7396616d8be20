"""The rows of a comparison: which points are averaged into one, and which row each is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dllm_run.compiler.points import CASE, labels_of, value_text
from dllm_run.specs.canonical import canonical
from dllm_run.specs.plan import Point
from dllm_run.specs.vocabulary.spec import Compare

from .order import paths_of

Place = dict[str, Any]
"""Where a point lies: its case and its values by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Points that differ in nothing but what is averaged over."""

    name: str
    case: str | None
    values: dict[str, Any]
    """What the sweep assigns to all of them, by path."""
    points: dict[str, str]
    """Ids of the points by the text of their value on the averaged axis."""
    against: int | None = None
    """Number of the row that this one is compared with: its own for a baseline; None where there is none."""


def rows_of(points: Mapping[str, Point], compare: Compare) -> tuple[Row, ...]:
    """The rows in the order of their first points."""
    labels = labels_of(paths_of(points.values()))
    places = {point_id: {CASE: point.case, **point.values} for point_id, point in points.items()}
    baseline = _baseline(list(places.values()), labels, compare.baseline)
    over = next((path for path, label in labels.items() if compare.over in (path, label)), None)
    averaged = _together(list(places.values()), over) if over is not None else frozenset()
    averaged -= {baseline[0]} if baseline is not None else frozenset()
    rows: dict[str, Row] = {}
    kept: dict[str, Place] = {}
    for point_id, place in places.items():
        rest = {path: value for path, value in place.items() if path not in averaged}
        key = canonical(rest)
        kept.setdefault(key, rest)
        if key not in rows:
            values = {path: value for path, value in rest.items() if path != CASE}
            rows[key] = Row(name=_name(rest, labels), case=place[CASE], values=values, points={})
        rows[key].points[canonical(place[over]) if over is not None else ""] = point_id
    if baseline is None:
        return tuple(rows.values())
    numbers = {key: number for number, key in enumerate(rows)}
    path, origin = baseline
    moved = _together(list(places.values()), path)
    keys = [canonical({other: origin[other] if other in moved else value for other, value in kept[key].items()}) for key in rows]
    return tuple(replace(row, against=numbers.get(key)) for row, key in zip(rows.values(), keys, strict=True))


def _baseline(places: list[Place], labels: dict[str, str], text: str) -> tuple[str, Place] | None:
    """The path that the baseline gives a value, and a place that has it; None where no point does."""
    for place in places:
        if place[CASE] == text:
            return CASE, place
    for place in places:
        for path, label in labels.items():
            if text in (f"{label}={value_text(place[path])}", f"{path}={value_text(place[path])}"):
                return path, place
    return None


def _together(places: list[Place], path: str) -> frozenset[str]:
    """The path, and those whose values change with it alone: a zip is one axis, whichever of its paths names it."""
    found = {path}
    for other in places[0]:
        pairs = {(canonical(place[path]), canonical(place[other])) for place in places}
        changes = len({right for _, right in pairs}) > 1
        if other not in (path, CASE) and changes and len({left for left, _ in pairs}) == len(pairs):
            found.add(other)
    return frozenset(found)


def _name(rest: Place, labels: dict[str, str]) -> str:
    case = [rest[CASE]] if rest[CASE] is not None else []
    return ",".join(case + [f"{labels[path]}={value_text(value)}" for path, value in rest.items() if path != CASE]) or "-"
