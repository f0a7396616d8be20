"""Shorthands written out: a bare scalar where a map is meant becomes that map."""

from dllm_run.specs.field import FieldInfo, Shape, fields_of
from dllm_run.specs.word import Word, is_family, members

from .node import Node


def expand(node: Node, cls: type) -> Node:
    """The tree of `node`, read as a `cls`, with every shorthand expanded. What does not fit is left for the schema to report."""
    if not isinstance(node.value, dict):
        return node
    target = _class_of(node, cls)
    if target is None:
        return node
    shapes: dict[str, FieldInfo] = {info.key: info for info in fields_of(target)}
    value = {key: _expand(child, shapes[key].shape) if key in shapes else child for key, child in node.value.items()}
    return Node(value, node.mark, node.key_mark)


def expand_at(root: Node, cls: type, path: tuple[str, ...], leaf: Node) -> Node:
    """`leaf` with the shorthands that it has at `path` of `root`, so that it merges with what stands there."""
    shape = Shape(cls=cls)
    for length, part in enumerate(path):
        below = _shape_below(shape, root.get_text(path[:length]), part)
        if below is None:
            return leaf
        shape = below
    return _expand(leaf, shape)


def class_at(node: Node, cls: type) -> type | None:
    """The vocabulary class that a map stands for: `cls`, or the word of that family which the map names."""
    return _class_of(node, cls)


def _shape_below(shape: Shape, node: Node | None, part: str) -> Shape | None:
    if node is not None and isinstance(node.value, list):
        return shape.items
    if shape.cls is None:
        return shape.values
    target = _class_of(node, shape.cls) if node is not None and isinstance(node.value, dict) else shape.cls
    infos = fields_of(target) if target is not None else ()
    return next((info.shape for info in infos if info.key == part), None)


def _class_of(node: Node, cls: type) -> type | None:
    if not issubclass(cls, Word) or not is_family(cls):
        return cls
    assert isinstance(node.value, dict)
    named = node.value.get(cls.tag)
    return members(cls).get(named.value) if named is not None and isinstance(named.value, str) else None


def _expand(node: Node, shape: Shape) -> Node:
    value = node.value
    if isinstance(value, dict):
        if shape.cls is not None:
            return expand(node, shape.cls)
        if shape.values is not None:
            return Node({key: _expand(child, shape.values) for key, child in value.items()}, node.mark, node.key_mark)
        return node
    if isinstance(value, list):
        return Node([_expand(child, shape.items) for child in value], node.mark, node.key_mark) if shape.items is not None else node
    key = _shorthand(value, shape)
    return node if key is None else expand(Node({key: Node(value, node.mark, node.mark)}, node.mark, node.key_mark), shape.cls or object)


def _shorthand(value: str | int | float | bool | None, shape: Shape) -> str | None:
    if value is None or isinstance(value, bool) or shape.cls is None or (isinstance(value, str) and value.startswith("${")):
        return None
    key: str | None = getattr(shape.cls, "shorthand", None)
    if key is None:
        return None
    if shape.scalars and not (is_family(shape.cls) and value in members(shape.cls)):
        return None
    return key
