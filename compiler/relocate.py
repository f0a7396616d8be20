"""Relative paths are relative to the file that wrote them: those of other files, seen from the folder of the spec."""

import posixpath
from collections.abc import Callable

from dllm_run.specs.errors import Mark
from dllm_run.specs.field import Leaf, Shape, fields_of
from dllm_run.specs.locator import kind_of, names_input

from .expand import class_at
from .node import Node

HomeOf = Callable[[Mark], str]
"""Folder of the file that a mark is in, from the folder of the spec."""


def relocate(node: Node, cls: type, home_of: HomeOf) -> Node:
    """The tree of `node`, read as a `cls`, with the paths of inputs as the spec would write them."""
    return _map(node, cls, home_of)


def _map(node: Node, cls: type, home_of: HomeOf) -> Node:
    target = class_at(node, cls)
    if target is None or not isinstance(node.value, dict):
        return node
    infos = {info.key: info for info in fields_of(target)}
    value = {key: _value(child, infos[key].shape, infos[key].leaf, home_of) if key in infos else child for key, child in node.value.items()}
    return Node(value, node.mark, node.key_mark)


def _value(node: Node, shape: Shape, leaf: Leaf, home_of: HomeOf) -> Node:
    value = node.value
    if isinstance(value, dict):
        if shape.cls is not None:
            return _map(node, shape.cls, home_of)
        if shape.values is not None:
            inner = {key: _value(child, shape.values, leaf, home_of) for key, child in value.items()}
            return Node(inner, node.mark, node.key_mark)
        return node
    if isinstance(value, list) and shape.items is not None:
        return Node([_value(child, shape.items, leaf, home_of) for child in value], node.mark, node.key_mark)
    if isinstance(value, str) and leaf.locates is not None and _is_relative(value, leaf.locates):
        folder = home_of(node.mark)
        return Node(_joined(folder, value), node.mark, node.key_mark) if folder else node
    return node


def _is_relative(text: str, what: str) -> bool:
    if text.startswith(("/", "~")):
        return False
    return names_input(text, what) and kind_of(text, what) == "file"


def _joined(folder: str, text: str) -> str:
    path = posixpath.normpath(posixpath.join(folder, text))
    return path if path.startswith(("../", "/", "~")) else f"./{path}"
