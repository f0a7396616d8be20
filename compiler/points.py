"""The points of a spec: every combination of a sweep's values, each with an id that depends on the values alone."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from dllm_run.specs.canonical import canonical, digest
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.vocabulary.spec import Spec

from .expand import expand_at
from .node import Node
from .origin import into_reference
from .overlay import assign


class PointTree(NamedTuple):
    """One point before it has types."""

    id: str
    name: str
    root: Node

    @property
    def is_one_of_several(self) -> bool:
        """Whether a sweep has made it."""
        return self.name != "-"


def without_sweep(root: Node) -> Node:
    """The spec alone."""
    assert isinstance(root.value, dict)
    return Node({key: child for key, child in root.value.items() if key != "sweep"}, root.mark)


def sweep_problems(root: Node) -> list[Diagnostic]:
    """What is wrong with a sweep itself: values that are no list, empty lists, paths that lead nowhere."""
    found = []
    for path, values in _axes(root):
        inside = into_reference(root, tuple(path.split(".")), values)
        if inside is not None:
            found.append(replace(inside, path=f"sweep.grid.{path}", fix=None))
        elif not isinstance(values.value, list):
            found.append(_problem("E104", f"sweep.grid: {path} must be a list of values", path, values, "write [value, value, …]"))
        elif not values.value:
            found.append(_problem("E106", f"sweep.grid: {path} has no values", path, values, "a list with at least one value"))
    return found


def points(root: Node) -> Iterator[PointTree]:
    """Every point, the first axis changing slowest. Without a sweep: one point named `-`."""
    base = without_sweep(root)
    axes = _axes(root)
    labels = _labels([path for path, _ in axes])
    for values in itertools.product(*(_items(node) for _, node in axes)):
        tree = base
        for (path, axis), value in zip(axes, values, strict=True):
            steps = tuple(path.split("."))
            tree = assign(tree, steps, expand_at(tree, Spec, steps, Node(value.value, value.mark, axis.key_mark)))
        overlay = {path: _as_typed(value.plain()) for (path, _), value in zip(axes, values, strict=True)}
        name = ",".join(f"{labels[path]}={_text(value)}" for path, value in overlay.items()) or "-"
        yield PointTree(digest(overlay)[:8], name, tree)


def _axes(root: Node) -> list[tuple[str, Node]]:
    grid = root.get(("sweep", "grid"))
    return list(grid.value.items()) if grid is not None and isinstance(grid.value, dict) else []


def _items(node: Node) -> list[Node]:
    return node.value if isinstance(node.value, list) else []


def _labels(paths: list[str]) -> dict[str, str]:
    """The shortest ending of each path that no other path has."""
    out = {}
    for path in paths:
        parts = path.split(".")
        for length in range(1, len(parts) + 1):
            label = ".".join(parts[-length:])
            if sum(other in (path, label) or other.endswith("." + label) for other in paths) == 1:
                break
        out[path] = label
    return out


def _as_typed(value: Any) -> Any:
    """32.0 and 32 are one value, as they are once they have types."""
    if isinstance(value, dict):
        return {key: _as_typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_typed(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> str:
    # Names stand in scripts and tables: a text that would break a line is shown with its escapes.
    return value if isinstance(value, str) and value.isprintable() else canonical(value)


def _problem(code: str, message: str, path: str, node: Node, label: str) -> Diagnostic:
    return Diagnostic(code=code, message=message, path=f"sweep.grid.{path}", mark=node.mark, label=label)
