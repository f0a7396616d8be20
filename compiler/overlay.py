"""Merging one tree over another: RFC 7396, except that a map which names another word replaces the whole map."""

from .node import Node

TAGS = ("type", "kind", "family", "generate")


def merge(base: Node | None, over: Node) -> Node:
    """`over` on top of `base`: maps merge, everything else replaces, null deletes."""
    if base is None or not isinstance(base.value, dict) or not isinstance(over.value, dict) or _other_word(base, over):
        new = _without_nulls(over) if isinstance(over.value, dict) else over
        return Node(new.value, new.mark, new.key_mark, base)
    value = dict(base.value)
    for key, child in over.value.items():
        if child.value is None:
            value.pop(key, None)
        else:
            value[key] = merge(value.get(key), child)
    return Node(value, over.mark, over.key_mark or base.key_mark)


def at_path(path: tuple[str, ...], leaf: Node) -> Node:
    """A tree that holds nothing but `leaf` at `path`."""
    node = leaf
    for part in reversed(path):
        place = node.key_mark or node.mark
        node = Node({part: Node(node.value, node.mark, place)}, place, place)
    return node


def assign(base: Node, path: tuple[str, ...], leaf: Node) -> Node:
    """`base` with `leaf` at `path`; only what lies on the path is copied. Numbers in the path index lists."""
    if not path:
        return merge(base, leaf)
    head, rest = path[0], path[1:]
    if isinstance(base.value, list) and head.isdigit() and int(head) < len(base.value):
        items = list(base.value)
        items[int(head)] = assign(items[int(head)], rest, leaf)
        return Node(items, base.mark, base.key_mark)
    if not isinstance(base.value, dict):
        return merge(base, at_path(path, leaf))
    value = dict(base.value)
    if not rest and leaf.value is None:
        value.pop(head, None)
    elif head in value:
        value[head] = assign(value[head], rest, leaf) if rest else merge(value[head], leaf)
    else:
        value[head] = _without_nulls(at_path(rest, leaf))
    return Node(value, base.mark, base.key_mark)


def _other_word(base: Node, over: Node) -> bool:
    assert isinstance(base.value, dict) and isinstance(over.value, dict)
    words = [(base.value[tag].value, over.value[tag].value) for tag in TAGS if tag in base.value and tag in over.value]
    return any(isinstance(old, str) and isinstance(new, str) and old != new for old, new in words)


def _without_nulls(node: Node) -> Node:
    if not isinstance(node.value, dict):
        return node
    kept = {key: _without_nulls(child) for key, child in node.value.items() if child.value is not None}
    return Node(kept, node.mark, node.key_mark)
