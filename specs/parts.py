"""Walking the parts of a vocabulary object: its edges, its inputs, the words that it uses."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .effect import Effect
from .field import Leaf, fields_of
from .quantity import Quantity
from .word import Word, family_name

Path = tuple[str, ...]


class Part(NamedTuple):
    """A value inside an object, where it is, and what the field that holds it declares."""

    path: Path
    value: Any
    leaf: Leaf | None


def parts(value: Any, path: Path = (), leaf: Leaf | None = None) -> Iterator[Part]:
    """Every value below and including `value`, depth first."""
    yield Part(path, value, leaf)
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from parts(item, (*path, str(index)), leaf)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from parts(item, (*path, key), leaf)
    elif is_vocabulary(value):
        for info in fields_of(type(value)):
            yield from parts(getattr(value, info.name), (*path, info.key), info.leaf)


def rebuild(value: Any, change: Callable[[Part], Any], path: Path = (), leaf: Leaf | None = None) -> Any:
    """A copy of `value` in which every part was offered to `change`; a part that comes back as another is not entered."""
    changed = change(Part(path, value, leaf))
    if changed is not value:
        return changed
    if isinstance(value, (list, tuple)):
        return tuple(rebuild(item, change, (*path, str(index)), leaf) for index, item in enumerate(value))
    if isinstance(value, dict):
        return {key: rebuild(item, change, (*path, key), leaf) for key, item in value.items()}
    if is_vocabulary(value):
        fields = fields_of(type(value))
        new = {info.name: rebuild(getattr(value, info.name), change, (*path, info.key), info.leaf) for info in fields}
        return dataclasses.replace(value, **new)
    return value


def words_of(value: Any) -> dict[str, int]:
    """`family/word` with its semantic version, for every word below `value` that can change a result."""
    found: dict[str, int] = {}

    def walk(item: Any) -> None:
        if isinstance(item, Word):
            found[f"{family_name(type(item))}/{item.word}"] = item.semantics
        if isinstance(item, (list, tuple)):
            for child in item:
                walk(child)
        elif is_vocabulary(item):
            for info in fields_of(type(item)):
                if info.leaf.effect is not Effect.NONE:
                    walk(getattr(item, info.name))

    walk(value)
    return dict(sorted(found.items()))


def is_vocabulary(value: Any) -> bool:
    """Whether a value is an object of the vocabulary: made of fields, not a scalar."""
    cls = type(value)
    if cls not in _IS_VOCABULARY:
        _IS_VOCABULARY[cls] = dataclasses.is_dataclass(cls) and not issubclass(cls, Quantity) and "leaf" in _first_metadata(cls)
    return _IS_VOCABULARY[cls]


_IS_VOCABULARY: dict[type, bool] = {}
"""Asked of every value of every point of a sweep."""


def _first_metadata(cls: Any) -> Any:
    fields = dataclasses.fields(cls)
    # A word without fields of its own is still vocabulary.
    return fields[0].metadata if fields else {"leaf": None}
