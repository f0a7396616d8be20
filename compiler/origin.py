"""Where a value was written: paths of a resolved spec followed back through references and the defaults at the top."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dllm_run.specs.errors import Diagnostic, Mark
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.spec import Spec

from .expand import edge_key_at
from .node import Node

_HANDED_DOWN = ("compute", "launch", "model")
_COPY = re.compile(r"^\$\{([^${}]+)\}$")
_LONGEST = 100


def written(tree: Node, path: tuple[str, ...]) -> tuple[str, ...]:
    """The path in `tree`, the spec before references were resolved, that a path of the resolved spec comes from."""
    for _ in range(_LONGEST):
        earlier = _copied_from(tree, path) or _from_top(tree, path)
        if earlier is None:
            break
        path = earlier
    return path


def told_once(found: Iterable[Diagnostic], tree: Node) -> Iterator[Diagnostic]:
    """Findings without their copies: what is wrong where it was written is not told again wherever it was copied to."""
    everything = list(found)
    there = {(item.code, item.mark, item.path) for item in everything}
    seen: set[tuple[str, Mark | None, str, str]] = set()
    for item in everything:
        home = ".".join(written(tree, tuple(item.path.split("."))))
        key = (item.code, item.mark, home, item.message)
        if (home != item.path and (item.code, item.mark, home) in there) or key in seen:
            continue
        seen.add(key)
        used = _reference_on(tree, item.path) if home != item.path else None
        yield item if used is None else replace(item, related=(*item.related, (used.mark, "copied to here")))


def into_reference(tree: Node, path: tuple[str, ...], leaf: Node) -> Diagnostic | None:
    """What is wrong with setting `path`, if it leads into a reference: there is nothing to set before that is resolved."""
    for length in range(1, len(path)):
        node = tree.get_text(path[:length])
        if node is None or not isinstance(node.value, str) or _COPY.match(node.value) is None:
            continue
        fix, label = None, "give the whole value"
        if not Reference.matches(node.value):
            target = (*node.value[2:-1].split("."), *path[length:])
            label = f"set {'.'.join(target)}"
            fix = f"{'.'.join(target)}={leaf.value}" if isinstance(leaf.value, (str, int, float)) else None
        elif (key := edge_key_at(tree, Spec, path[:length])) is not None:
            # As a map it has fields that an axis may set.
            whole = f'{{{key}: "{node.value}"}}'
            label = f"give the whole value, a map such as {whole}"
            fix = f"{'.'.join(path[:length])}={whole}" if isinstance(leaf.value, list) else None
        message = f"{'.'.join(path[:length])} is {node.value}: a path cannot lead into a reference"
        return Diagnostic(code="E205", message=message, path=".".join(path), mark=leaf.key_mark or leaf.mark, label=label, fix=fix)
    return None


def _reference_on(tree: Node, path: str) -> Node | None:
    steps = tuple(path.split("."))
    nodes = (tree.get_text(steps[:length]) for length in range(1, len(steps) + 1))
    return next((node for node in nodes if node is not None and isinstance(node.value, str) and _COPY.match(node.value)), None)


def _copied_from(tree: Node, path: tuple[str, ...]) -> tuple[str, ...] | None:
    for length in range(1, len(path) + 1):
        node = tree.get_text(path[:length])
        if node is None:
            return None
        match = _COPY.match(node.value) if isinstance(node.value, str) else None
        if match is not None:
            return None if Reference.matches(match[0]) else (*match[1].split("."), *path[length:])
    return None


def _from_top(tree: Node, path: tuple[str, ...]) -> tuple[str, ...] | None:
    if len(path) < 3 or path[0] != "stages" or path[2] not in _HANDED_DOWN:
        return None
    own, top = tree.get_text(path[:3]), tree.get_text(path[2:])
    if own is None:
        return path[2:] if tree.get_text(path[2:3]) is not None else None
    return path[2:] if path[2] != "model" and tree.get_text(path) is None and top is not None else None
