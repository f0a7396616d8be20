"""The points of a spec: cases times sweep, each with an id that depends on its values alone."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dllm_run.specs.canonical import canonical, digest
from dllm_run.specs.vocabulary.spec import Spec

from .draw import drawn
from .expand import expand, expand_at
from .node import Node
from .overlay import assign, merge

MAX_POINTS = 100_000
CASE = "case"
ALONE = "-"
"""Name of the only point of a spec without cases and sweep."""
FRAME = ("cases", "sweep")
"""Keys that make points, and that no point has any more."""

Flag = tuple[tuple[str, ...], Node]
"""Path and value of a `-s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTree:
    """One point before it has types."""

    id: str = ""
    name: str = ALONE
    base: Node
    """The tree of its case, without what its axes assign."""
    case: str | None = None
    overlaid: bool = False
    """Whether a case was laid over the spec."""
    chosen: dict[str, Node] = field(default_factory=dict)
    """What its axes assign, by path."""
    values: dict[str, Any] = field(default_factory=dict)
    """The same as plain data."""
    axes: tuple["Axis", ...] = ()
    flags: tuple[Flag, ...] = ()
    """Those that win over cases and axes."""

    @property
    def is_one_of_several(self) -> bool:
        """Whether a sweep has made it."""
        return self.name != ALONE

    @property
    def axis_of(self) -> dict[str, int]:
        """The number of the axis that each path belongs to."""
        return {path: number for number, axis in enumerate(self.axes) for path in axis.paths}

    def axis_nodes(self) -> Iterator[Node]:
        """Everything that any of its axes assigns to any point."""
        return (node for axis in self.axes for choice in axis.choices for node in choice)

    def tree(self) -> Node:
        """The spec of this point."""
        root = self.base
        for path, node in self.chosen.items():
            steps = tuple(path.split("."))
            root = assign(root, steps, expand_at(root, Spec, steps, node))
        # Flags win. They are in the tree already: only those that a case or an axis may have gone over are set again.
        for steps, leaf in self.flags:
            if self.overlaid or any(overlap(steps, tuple(path.split("."))) for path in self.chosen):
                root = assign(root, steps, expand_at(root, Spec, steps, leaf))
        return root


@dataclass(frozen=True, slots=True)
class Axis:
    """Paths that take their values together: one path of a grid, all of a zip, all that is drawn."""

    paths: tuple[str, ...]
    choices: list[tuple[Node, ...]]


def without_frame(root: Node) -> Node:
    """The spec alone."""
    assert isinstance(root.value, dict)
    if not any(key in root.value for key in FRAME):
        return root
    return Node({key: child for key, child in root.value.items() if key not in FRAME}, root.mark)


def points(root: Node, flags: tuple[Flag, ...] = ()) -> Iterator[PointTree]:
    """Every point, the cases first and the first axis changing slowest. Without either: one point named `-`."""
    base = without_frame(root)
    axes = tuple(axes_of(root))
    labels = labels_of([path for axis in axes for path in axis.paths])
    excluded = [{key: as_typed(node.plain()) for key, node in item.items()} for item in excluded_of(root)]
    parts = {
        id(node): _Part(node, labels[path])
        for axis in axes
        for choice in axis.choices
        for path, node in zip(axis.paths, choice, strict=True)
    }
    for case, overlay in cases_of(root).items() or [(None, None)]:
        tree = base if overlay is None else merge(base, expand(overlay, Spec, base))
        plain: Any = {} if overlay is None else as_typed(overlay.plain())
        for choice in itertools.product(*(axis.choices for axis in axes)):
            chosen = {path: node for axis, nodes in zip(axes, choice, strict=True) for path, node in zip(axis.paths, nodes, strict=True)}
            values = {path: parts[id(node)].value for path, node in chosen.items()}
            if any(_matches(item, values, case) for item in excluded):
                continue
            names = ([case] if case is not None else []) + [parts[id(node)].name for node in chosen.values()]
            yield PointTree(
                id=_id(plain, values),
                name=",".join(names) or ALONE,
                base=tree,
                case=case,
                overlaid=overlay is not None,
                chosen=chosen,
                values=values,
                axes=axes,
                flags=flags,
            )


class _Part:
    """What a value of an axis adds to every point that has it."""

    def __init__(self, node: Node, label: str) -> None:
        self.node = node
        self.value = as_typed(node.plain())
        self.name = f"{label}={value_text(self.value)}"


def labels_of(paths: list[str]) -> dict[str, str]:
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


def value_text(value: object) -> str:
    """A value as names of points have it. A text that would break a line of a script or table is shown with its escapes."""
    return value if isinstance(value, str) and value.isprintable() else canonical(value)


def _id(whole: Any, values: dict[str, Any]) -> str:
    """8 hex of what lies over the spec: the case, and over it what the axes assign."""
    for path, value in values.items():
        whole = _assigned(whole, tuple(path.split(".")), value)
    return digest(whole)[:8]


def _assigned(whole: Any, path: tuple[str, ...], value: Any) -> Any:
    """`whole` with a value at a path, as plain data: what the id of a point is made of."""
    if not path:
        return value
    inner = whole.get(path[0]) if isinstance(whole, dict) else None
    return {**(whole if isinstance(whole, dict) else {}), path[0]: _assigned(inner, path[1:], value)}


def overlap(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether one path is the other, or leads to it."""
    return all(a == b for a, b in zip(left, right, strict=False))


def cases_of(root: Node) -> dict[str, Node]:
    """The overlays of a spec by name."""
    cases = root.get(("cases",))
    return dict(cases.value) if cases is not None and isinstance(cases.value, dict) else {}


def axes_of(root: Node) -> list[Axis]:
    """The axes in their order. Raises SpecError for draws that are not right."""
    axes = [
        Axis((path,), [(Node(value.value, value.mark, node.key_mark),) for value in items_of(node)])
        for path, node in section(root, "grid").items()
    ]
    zipped = section(root, "zip")
    if zipped:
        columns = [[Node(value.value, value.mark, node.key_mark) for value in items_of(node)] for node in zipped.values()]
        axes.append(Axis(tuple(zipped), list(zip(*columns, strict=True))))
    random = root.get(("sweep", "random"))
    if random is not None and isinstance(random.value, dict):
        paths, choices = drawn(random)
        axes.append(Axis(paths, choices))
    return axes


def section(root: Node, kind: str) -> dict[str, Node]:
    """The values of `sweep.grid` or `sweep.zip` by path."""
    node = root.get(("sweep", kind))
    return dict(node.value) if node is not None and isinstance(node.value, dict) else {}


def excluded_of(root: Node) -> list[dict[str, Node]]:
    """The values of the points that are left out."""
    node = root.get(("sweep", "exclude"))
    return [item.value for item in items_of(node) if isinstance(item.value, dict)] if node is not None else []


def _matches(item: dict[str, Any], values: dict[str, Any], case: str | None) -> bool:
    return all((case if key == CASE else values.get(key)) == value for key, value in item.items())


def items_of(node: Node) -> list[Node]:
    """The items of a list, none of anything else."""
    return node.value if isinstance(node.value, list) else []


def as_typed(value: Any) -> Any:
    """32.0 and 32 are one value, as they are once they have types."""
    if isinstance(value, dict):
        return {key: as_typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_typed(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
