"""Between vocabulary objects and plain JSON values, both ways, by the types that the classes declare."""

import dataclasses
import math
import re
from typing import Any, TypeVar

from .field import FieldInfo, Leaf, Shape, fields_of
from .quantity import FRACTION, Quantity
from .reference import Reference
from .word import Word, is_family, members

T = TypeVar("T")


class DecodeError(ValueError):
    """A value that does not fit its class. The reader of a spec gets the full list from the schema instead."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(f"{'.'.join(map(str, path)) or 'value'}: {message}")
        self.path = path


Memo = dict[tuple[type, int], tuple[Any, Any]]
"""Class and identity of a map, to that map, which stays alive with it, and what was built from it."""


def decode(cls: type[T], value: Any, path: tuple[str | int, ...] = (), *, planned: bool = False, memo: Memo | None = None) -> T:
    """Build `cls` from plain data; numbers are coerced to the declared type. Raises DecodeError at the first misfit.

    Edges are texts in a spec; `planned`: they are maps, as `encode` writes them into a plan. With a `memo` the very same map gives
    the very same object: the points of a sweep share what they have in common.
    """
    if not isinstance(value, dict):
        raise DecodeError(path, f"{value!r} is not a map")
    if memo is None:
        return _build(cls, value, path, planned, None)
    known = memo.get((cls, id(value)))
    if known is None:
        known = memo[cls, id(value)] = (value, _build(cls, value, path, planned, memo))
    built: T = known[1]
    return built


def _build(cls: type[T], value: dict[str, Any], path: tuple[str | int, ...], planned: bool, memo: Memo | None) -> T:
    target: Any = cls
    tag = None
    if issubclass(cls, Word):
        tag = cls.tag
        named = value.get(tag)
        if is_family(cls):
            target = members(cls).get(named) if isinstance(named, str) else None
            if target is None:
                raise DecodeError((*path, tag), f"{named!r} is not one of {list(members(cls))}")
        elif named != cls.word:
            raise DecodeError((*path, tag), f"{named!r} is not {cls.word!r}")
    fields = fields_of(target)
    arguments: dict[str, Any] = {}
    for info in fields:
        if info.key in value:
            arguments[info.name] = _value(info.shape, info.leaf, value[info.key], (*path, info.key), planned, memo)
        elif info.required:
            raise DecodeError((*path, info.key), "is missing")
    if len(arguments) + (tag in value) != len(value):
        known = {info.key for info in fields} | {tag}
        raise DecodeError((*path, next(key for key in value if key not in known)), "unknown key")
    # One default object for all: what is the same everywhere is looked at once.
    built: T = target(**{info.name: info.default for info in fields if not info.required} | arguments)
    return built


def _value(shape: Shape, leaf: Leaf, value: Any, path: tuple[str | int, ...], planned: bool, memo: Memo | None) -> Any:
    if shape.free:
        return value
    if value is None:
        if shape.nullable:
            return None
        raise DecodeError(path, "must not be null")
    if isinstance(value, dict):
        if planned and shape.edge and set(value) == {"stage", "output"}:
            return Reference(value["stage"], value["output"])
        if shape.cls is not None:
            return decode(shape.cls, value, path, planned=planned, memo=memo)
        if shape.values is not None:
            return {key: _value(shape.values, leaf, item, (*path, key), planned, memo) for key, item in value.items()}
        raise DecodeError(path, "a map is not allowed here")
    if isinstance(value, (list, tuple)):
        if shape.items is None:
            raise DecodeError(path, "a list is not allowed here")
        return tuple(_value(shape.items, leaf, item, (*path, index), planned, memo) for index, item in enumerate(value))
    if not planned and shape.edge and isinstance(value, str) and Reference.matches(value):
        return Reference.parse(value)
    return _scalar(shape, leaf, value, path)


def _scalar(shape: Shape, leaf: Leaf, value: Any, path: tuple[str | int, ...]) -> Any:
    for kind in shape.scalars:
        if kind is Quantity and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            try:
                quantity = Quantity.parse(value)
            except ValueError as error:
                raise DecodeError(path, str(error)) from None
            if quantity.unit not in leaf.units:
                raise DecodeError(path, f"unit {quantity.unit!r} is not one of {list(leaf.units)}")
            if quantity.unit == FRACTION:
                _bounds(leaf, quantity.amount, path)
            return quantity
        if kind is bool and isinstance(value, bool):
            return value
        if kind is int and not isinstance(value, bool) and isinstance(value, (int, float)) and float(value).is_integer():
            _bounds(leaf, int(value), path)
            return int(value)
        if kind is float and not isinstance(value, bool) and isinstance(value, (int, float)):
            _bounds(leaf, float(value), path)
            return float(value)
        if kind is str and isinstance(value, str):
            _bounds(leaf, value, path)
            return value
    raise DecodeError(path, f"{value!r} has the wrong type")


def _bounds(leaf: Leaf, value: str | int | float, path: tuple[str | int, ...]) -> None:
    if leaf.choices and value not in leaf.choices:
        raise DecodeError(path, f"{value!r} is not one of {list(leaf.choices)}")
    if isinstance(value, str):
        if leaf.pattern is not None and re.search(leaf.pattern, value) is None:
            raise DecodeError(path, f"{value!r} does not match {leaf.pattern}")
        return
    if (
        not math.isfinite(value)
        or (leaf.minimum is not None and value < leaf.minimum)
        or (leaf.maximum is not None and value > leaf.maximum)
        or (leaf.above is not None and value <= leaf.above)
        or (leaf.below is not None and value >= leaf.below)
    ):
        raise DecodeError(path, f"{value} is out of bounds")


def encode(value: Any, *, planned: bool = True) -> Any:
    """Plain JSON data that `decode`, with the same `planned`, reads back to an equal object."""
    if isinstance(value, Quantity):
        return value.text()
    if isinstance(value, Reference):
        return {"stage": value.stage, "output": value.output} if planned else value.text()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out = {info.key: encode(getattr(value, info.name), planned=planned) for info in fields_of(type(value))}
        if isinstance(value, Word):
            out[value.tag] = value.word
        return out
    if isinstance(value, (list, tuple)):
        return [encode(item, planned=planned) for item in value]
    if isinstance(value, dict):
        return {key: encode(item, planned=planned) for key, item in value.items()}
    return value


def default_of(info: FieldInfo) -> Any:
    """The default of a field as plain JSON data."""
    return encode(info.default)
