"""Points of a sweep that differ from one that compiled in values of their stages alone: their specs are put together from parts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dllm_run.specs.field import fields_of
from dllm_run.specs.parts import Path, replaced
from dllm_run.specs.templating import is_template
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages import Stage

from .node import Node
from .overlay import TAGS
from .points import PointTree, overlap
from .references import References


@dataclass(slots=True)
class _Base:
    """The first point of a case, and what single axes made of it."""

    point: PointTree
    spec: Spec
    paths: dict[str, Path] | None
    """Axes by path; None where a value may reach further than the place that it is assigned to."""
    parts: dict[tuple[str, int], Any] = field(default_factory=dict)
    """What stands at a path of the typed spec, by the node that is assigned there."""
    stages: dict[tuple[str, tuple[tuple[Path, int], ...]], Stage] = field(default_factory=dict)
    """Stages that were put together, by what is in them: points that differ elsewhere share them."""


class Variations:
    """Knows compiled points by case. In the order of `points`, those that differ in one axis come before those that differ in several."""

    def __init__(self) -> None:
        self._bases: dict[str | None, _Base] = {}

    def forget(self) -> None:
        """Let go of stages that were put together."""
        for base in self._bases.values():
            base.stages.clear()

    def learn(self, point: PointTree, spec: Spec, references: References) -> None:
        """Remember a point that compiled by itself."""
        base = self._bases.get(point.case)
        if base is None:
            self._bases[point.case] = _Base(point, spec, _reaching_no_further(point, references))
        elif base.paths is not None:
            changed = _changed(point, base)
            if len({point.axis_of[path] for path in changed}) == 1:
                for path in changed:
                    base.parts[path, id(point.chosen[path])] = _at(spec, base.paths[path])

    def spec_of(self, point: PointTree) -> tuple[Spec, dict[Path, Any]] | None:
        """The typed spec of a point and what differs from the base, by path; None where it must be compiled by itself."""
        base = self._bases.get(point.case)
        if base is None or base.paths is None:
            return None
        changes: dict[Path, Any] = {}
        for path in _changed(point, base):
            key = (path, id(point.chosen[path]))
            if key not in base.parts:
                return None
            changes[base.paths[path]] = base.parts[key]
        return _put_together(base, changes), changes


def _put_together(base: _Base, changes: dict[Path, Any]) -> Spec:
    inside: dict[str, dict[Path, Any]] = {}
    whole: dict[Path, Any] = {}
    for path, part in changes.items():
        if path[0] == "stages":
            inside.setdefault(path[1], {})[path[2:]] = part
        else:
            whole[path] = part
    stages = dict(base.spec.stages)
    for name, parts in inside.items():
        key = (name, tuple((path, id(part)) for path, part in parts.items()))
        if key not in base.stages:
            base.stages[key] = replaced(stages[name], parts)
        stages[name] = base.stages[key]
    spec: Spec = replaced(base.spec, {**whole, ("stages",): stages})
    return spec


def _changed(point: PointTree, base: _Base) -> list[str]:
    return [path for path, node in point.chosen.items() if node is not base.point.chosen[path]]


def _reaching_no_further(point: PointTree, references: References) -> dict[str, Path] | None:
    """The axes by path, if each value stays where it is assigned: nothing copies it, no template reads it, no flag or axis goes over it."""
    paths = {path: tuple(path.split(".")) for path in point.chosen}
    steps = list(paths.values())
    taken = [tuple(target.split(".")) for target in references.targets(point.base)] + [flag for flag, _ in point.flags]
    apart = all(not overlap(one, other) for index, one in enumerate(steps) for other in [*steps[:index], *taken])
    if not apart or not all(map(_is_inside, steps)) or any(map(_reads_others, point.axis_nodes())):
        return None
    return None if any(is_template(node.value) for _, node in point.base.walk()) else paths


def _is_inside(path: Path) -> bool:
    """Whether a path is the root's seed, or in a stage and not the word of a map."""
    return path == ("seed",) or (path[0] == "stages" and len(path) > 2 and path[-1] not in TAGS)


def _reads_others(node: Node) -> bool:
    return any(isinstance(value.value, str) and ("${" in value.value or is_template(value.value)) for _, value in node.walk())


def _at(value: Any, path: Iterable[str]) -> Any:
    """What stands at a path of a vocabulary object."""
    for key in path:
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, tuple):
            value = value[int(key)]
        else:
            value = getattr(value, next(info.name for info in fields_of(type(value)) if info.key == key))
    return value
