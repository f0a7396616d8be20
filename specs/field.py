"""Fields of the vocabulary: each carries its meaning, unit, bounds and effect, and from these all else is derived."""

import dataclasses
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from typing import Any, Union, get_args, get_origin

from .effect import Effect
from .quantity import Quantity
from .reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a field says of itself beyond its type."""

    meaning: str
    effect: Effect | None = None
    """Also of what gives none below it; None: that of what holds it, and without any `result`."""
    unit: str | None = None
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    choices: tuple[str | int, ...] = ()
    pattern: str | None = None
    units: tuple[str, ...] = ()
    """For quantities: the units that may follow the number; `fraction` allows a bare number."""
    alias: str | None = None
    """The word in YAML where it is a keyword in Python."""
    example: str | None = None
    output: str | None = None
    """For edges: the kind of output that may stand here."""
    result_if: str | None = None
    """When changing the field changes the result in spite of its effect: what `promoted` of its class decides, in words."""
    locates: str | None = None
    """`data`, `model`, `task`, `template` or `script`: a text here says where an input is, and its content counts instead of the text."""
    revised_by: str | None = None
    """For texts that may name something on a hub: the field beside this one that says which revision of it."""
    overlay: bool = False
    """Each value is a piece of a spec."""
    late: bool = False
    """Joined the language when results had been kept already: at its default it does not enter the identity of a stage."""
    template: str | None = None
    """A text with {{ … }} is a template: `spec`: over the fields of the spec, `row`: over the columns of a row, `chat`: over messages."""
    formerly: tuple[tuple[bool | str, str], ...] = ()
    """Values that stood here in earlier versions, with what is written for each now."""


def leaf(meaning: str, *, default: Any = MISSING, factory: Callable[[], Any] | None = None, **rest: Any) -> Any:
    """A dataclass field of a vocabulary class; `rest` are the attributes of `Leaf`."""
    metadata = {"leaf": Leaf(meaning=meaning, **rest)}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The form a value may take: a flattened reading of a type annotation."""

    nullable: bool = False
    edge: bool = False
    """`${stages.X}` is allowed here."""
    scalars: tuple[type, ...] = ()
    cls: type | None = None
    """A vocabulary class, or the base class of a family of words."""
    items: "Shape | None" = None
    values: "Shape | None" = None
    free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldInfo:
    """A field of a vocabulary class as schema, reader and writer see it."""

    name: str
    """In Python."""
    key: str
    """In YAML and JSON."""
    shape: Shape
    leaf: Leaf
    required: bool
    default: Any


def shape_of(annotation: Any) -> Shape:
    """Flatten an annotation. Raises TypeError for one that the language has no form for."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return Shape(free=True)
    if origin in (Union, types.UnionType):
        merged: dict[str, Any] = {}
        for member in arguments:
            if member is type(None):
                merged["nullable"] = True
                continue
            part = shape_of(member)
            for name in ("edge", "cls", "items", "values", "free"):
                if getattr(part, name):
                    merged[name] = getattr(part, name)
            merged["scalars"] = merged.get("scalars", ()) + part.scalars
        return Shape(**merged)
    if origin is tuple:
        return Shape(items=shape_of(arguments[0]))
    if origin is dict:
        return Shape(values=shape_of(arguments[1]))
    if annotation is Reference:
        return Shape(edge=True)
    if annotation in (str, int, float, bool, Quantity):
        return Shape(scalars=(annotation,))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return Shape(cls=annotation)
    raise TypeError(f"the language has no form for {annotation!r}")


_FIELDS: dict[type, tuple[FieldInfo, ...]] = {}


def fields_of(cls: type) -> tuple[FieldInfo, ...]:
    """The fields of a vocabulary class, in the order in which they are documented."""
    if cls not in _FIELDS:
        _FIELDS[cls] = tuple(_fields(cls))
    return _FIELDS[cls]


def _fields(cls: Any) -> Iterator[FieldInfo]:
    for item in dataclasses.fields(cls):
        declared: Leaf = item.metadata["leaf"]
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        yield FieldInfo(
            name=item.name,
            key=declared.alias or item.name,
            shape=shape_of(item.type),
            leaf=declared,
            required=default is MISSING,
            default=default,
        )
