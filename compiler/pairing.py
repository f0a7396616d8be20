"""Which points and which stages of two plans correspond."""

from dataclasses import dataclass

from dllm_run.specs.plan import Plan, Point

from .side import is_data_set

Pair = tuple[Point, Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointChanges:
    """Points by name."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """With the same stages by id."""
    changed: tuple[str, ...] = ()


def pair_points(old: Plan, new: Plan) -> tuple[list[Pair], PointChanges]:
    """Points to compare with each other: of one id, else of one name; two lone points always."""
    if len(old.points) == len(new.points) == 1:
        return [(next(iter(old.points.values())), next(iter(new.points.values())))], PointChanges()
    pairs = [(old.points[point_id], point) for point_id, point in new.points.items() if point_id in old.points]
    free = {point.name: point for point_id, point in old.points.items() if point_id not in new.points}
    added = []
    for point_id, point in new.points.items():
        if point_id not in old.points and point.name in free:
            pairs.append((free.pop(point.name), point))
        elif point_id not in old.points:
            added.append(point.name)
    kept = tuple(now.name for was, now in pairs if was.stages == now.stages)
    changed = tuple(now.name for was, now in pairs if was.stages != now.stages)
    return pairs or [_nearest(old, new)], PointChanges(added=tuple(added), removed=tuple(free), kept=kept, changed=changed)


def _nearest(old: Plan, new: Plan) -> Pair:
    """Where no point corresponds, the first and the one that has most in common with it show what else changed."""
    was = next(iter(old.points.values()))
    return was, max(new.points.values(), key=lambda now: len({*was.stages.values()} & {*now.stages.values()}))


def renamed_stages(old: Plan, new: Plan) -> dict[str, str]:
    """Old names to new ones, for stages that are called otherwise and compute the same."""
    before, after = _ids_by_name(old), _ids_by_name(new)
    found: dict[str, str] = {}
    for was in sorted(before.keys() - after.keys()):
        same = (now for now in after if now not in before and after[now] == before[was])
        now = next((name for name in same if name not in found.values()), None)
        if now is not None:
            found[was] = now
    return found


def _ids_by_name(plan: Plan) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for point in plan.points.values():
        for name, stage_id in point.stages.items():
            if not is_data_set(name):
                found.setdefault(name, set()).add(stage_id)
    return found
