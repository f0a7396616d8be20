"""Walking the parts of a vocabulary object, and putting others in their place."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .field import Leaf, fields_of
from .quantity import Quantity

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


def replaced(value: Any, changes: Mapping[Path, Any]) -> Any:
    """A copy of `value` with other parts at some paths; everything off these paths is shared."""
    if not changes:
        return value
    if () in changes:
        return changes[()]
    inside: dict[str, dict[Path, Any]] = {}
    for path, new in changes.items():
        inside.setdefault(path[0], {})[path[1:]] = new
    if isinstance(value, (list, tuple)):
        return tuple(replaced(item, inside.get(str(index), {})) for index, item in enumerate(value))
    if isinstance(value, dict):
        return {key: replaced(item, inside.get(key, {})) for key, item in value.items()}
    new = object.__new__(type(value))
    for info in fields_of(type(value)):
        item = getattr(value, info.name)
        # As dataclasses.replace does, in a third of the time: vocabulary classes have nothing to do when they are made.
        object.__setattr__(new, info.name, replaced(item, inside[info.key]) if info.key in inside else item)
    return new


def is_vocabulary(value: Any) -> bool:
    """Whether `value` is an object of a vocabulary class."""
    cls = type(value)
    if cls not in _VOCABULARY:
        # A word without fields of its own is still vocabulary.
        fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else None
        _VOCABULARY[cls] = fields is not None and cls is not Quantity and (not fields or "leaf" in fields[0].metadata)
    return _VOCABULARY[cls]


_VOCABULARY: dict[type, bool] = {}
