"""Shorthands written out: a bare scalar where a map is meant becomes that map. What has none stays the very same node."""

from dllm_run.specs.field import FieldInfo, Shape, fields_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.word import Word, is_family, members

from .node import Node

Done = dict[tuple[int, type], tuple[Node, Node]]
"""Identity of a map and the class that it is read as, to that map, which stays alive with it, and what came of it."""


def expand(node: Node, cls: type, under: Node | None = None, done: Done | None = None) -> Node:
    """The tree of `node`, read as a `cls`, with every shorthand expanded. What does not fit is left for the schema to report.

    `under` is what the tree will be laid over: a map that does not name its word has the word of what it lies on.
    With `done` the very same map is expanded once.
    """
    if not isinstance(node.value, dict):
        return node
    if done is None or under is not None:
        return _map(node, cls, under, done)
    known = done.get((id(node), cls))
    if known is None:
        known = done[id(node), cls] = (node, _map(node, cls, under, done))
    return known[1]


def _map(node: Node, cls: type, under: Node | None, done: Done | None) -> Node:
    target = class_at(node, cls, under)
    if target is None:
        return node
    assert isinstance(node.value, dict)
    shapes: dict[str, FieldInfo] = {info.key: info for info in fields_of(target)}
    found = {
        key: _expand(child, shapes[key].shape, _below(under, key), done) if key in shapes else child for key, child in node.value.items()
    }
    return _same_or_new(node, found)


def expand_at(root: Node, cls: type, path: tuple[str, ...], leaf: Node) -> Node:
    """`leaf` with the shorthands that it has at `path` of `root`, so that it merges with what stands there."""
    shape = _shape_at(root, cls, path)
    return leaf if shape is None else _expand(leaf, shape, root.get_text(path), None)


def edge_key_at(root: Node, cls: type, path: tuple[str, ...]) -> str | None:
    """The key of the map that `${stages.X}` may be written as at `path`: that of a model is `from`. None where there is no such map."""
    shape = _shape_at(root, cls, path)
    key: str | None = None if shape is None else getattr(shape.cls, "shorthand", None)
    return key if shape is not None and key is not None and _takes_edge(shape, key) else None


def class_at(node: Node, cls: type, under: Node | None = None) -> type | None:
    """The vocabulary class that a map stands for: `cls`, or the word of that family which the map, or what it lies on, names."""
    if not issubclass(cls, Word) or not is_family(cls):
        return cls
    for place in (node, under):
        named = place.value.get(cls.tag) if place is not None and isinstance(place.value, dict) else None
        if named is not None:
            return members(cls).get(named.value) if isinstance(named.value, str) else None
    return None


def _below(node: Node | None, key: str) -> Node | None:
    return node.value.get(key) if node is not None and isinstance(node.value, dict) else None


def _shape_at(root: Node, cls: type, path: tuple[str, ...]) -> Shape | None:
    shape: Shape | None = Shape(cls=cls)
    for length, part in enumerate(path):
        shape = None if shape is None else _shape_below(shape, root.get_text(path[:length]), part)
    return shape


def _shape_below(shape: Shape, node: Node | None, part: str) -> Shape | None:
    if node is not None and isinstance(node.value, list):
        return shape.items
    if shape.cls is None:
        return shape.values
    target = class_at(node, shape.cls) if node is not None and isinstance(node.value, dict) else shape.cls
    infos = fields_of(target) if target is not None else ()
    return next((info.shape for info in infos if info.key == part), None)


def _expand(node: Node, shape: Shape, under: Node | None, done: Done | None) -> Node:
    value = node.value
    if isinstance(value, dict):
        if shape.cls is not None:
            return expand(node, shape.cls, under, done)
        if shape.values is not None:
            return _same_or_new(node, {key: _expand(child, shape.values, _below(under, key), done) for key, child in value.items()})
        return node
    if isinstance(value, list):
        if shape.items is None:
            return node
        items = [_expand(child, shape.items, None, done) for child in value]
        return node if all(new is old for new, old in zip(items, value, strict=True)) else Node(items, node.mark, node.key_mark)
    key = _shorthand(value, shape)
    return node if key is None else expand(Node({key: Node(value, node.mark, node.mark)}, node.mark, node.key_mark), shape.cls or object)


def _same_or_new(node: Node, value: dict[str, Node]) -> Node:
    assert isinstance(node.value, dict)
    return node if all(value[key] is child for key, child in node.value.items()) else Node(value, node.mark, node.key_mark)


def _shorthand(value: str | int | float | bool | None, shape: Shape) -> str | None:
    if value is None or isinstance(value, bool) or shape.cls is None:
        return None
    key: str | None = getattr(shape.cls, "shorthand", None)
    if isinstance(value, str) and value.startswith("${"):
        return key if key is not None and Reference.matches(value) and _is_edge(shape, key) else None
    if key is None:
        return None
    if shape.scalars and not (is_family(shape.cls) and value in members(shape.cls)):
        return None
    return key


def _is_edge(shape: Shape, key: str) -> bool:
    """Whether a stage may stand for the field that a shorthand means, and not for the whole: the model of a training is {from: stage}."""
    return not shape.edge and _takes_edge(shape, key)


def _takes_edge(shape: Shape, key: str) -> bool:
    return shape.cls is not None and any(info.key == key and info.shape.edge for info in fields_of(shape.cls))
