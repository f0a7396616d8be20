"""The leaves of a vocabulary object with their effects: what identity, diff and the resume guard walk."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from .codec import encode
from .effect import Effect
from .field import fields_of
from .quantity import Quantity
from .reference import Reference
from .word import Word

Path = tuple[str, ...]


class LeafValue(NamedTuple):
    """One leaf: where it is, what it holds as plain data, and what changing it would do."""

    path: Path
    value: Any
    effect: Effect


def leaves(value: Any, path: Path = (), effect: Effect | None = None) -> Iterator[LeafValue]:
    """Walk `value` depth first. An effect given on a container holds for what gives none below it; without any it is `result`."""
    if isinstance(value, Quantity | Reference) or (not isinstance(value, (dict, list, tuple)) and not _is_object(value)):
        yield LeafValue(path, encode(value), effect or Effect.RESULT)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key], (*path, key), effect)
    elif isinstance(value, (list, tuple)):
        if not value:
            yield LeafValue(path, [], effect or Effect.RESULT)
        for index, item in enumerate(value):
            yield from leaves(item, (*path, str(index)), effect)
    else:
        promoted = promoted_paths(value)
        if isinstance(value, Word):
            yield LeafValue((*path, value.tag), value.word, effect or Effect.RESULT)
        for info in fields_of(type(value)):
            below = info.leaf.effect or effect
            for found in leaves(getattr(value, info.name), (*path, info.key), below):
                yield found._replace(effect=Effect.RESULT) if found.path[len(path) :] in promoted else found


def promoted_paths(value: Any) -> frozenset[Path]:
    """Paths that count as `result` because of other fields of the same object (say, the micro batch under dropout)."""
    promote = getattr(type(value), "promoted", None)
    return promote(value) if promote is not None else frozenset()


def _is_object(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
