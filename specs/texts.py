"""Canonical JSON of vocabulary objects, piece by piece: objects that many stages share are written once."""

import dataclasses
from collections.abc import Callable, Set
from typing import Any

from .canonical import canonical, scalar
from .codec import encode
from .effect import Effect
from .field import FieldInfo, fields_of
from .leaves import Path, promoted_paths
from .quantity import Quantity
from .reference import Reference
from .word import Word

Located = dict[Path, Any]
"""What stands for the texts that name inputs, by path."""


class Texts:
    """Writes objects and remembers them by identity; what it has written stays alive with it."""

    def __init__(self) -> None:
        self._whole: dict[int, tuple[Any, str]] = {}
        self._results: dict[tuple[int, Effect | None], tuple[Any, str]] = {}

    def whole(self, value: Any) -> str:
        """`canonical(encode(value))`."""
        if not _is_object(value):
            return _collection(value, self.whole)
        known = self._whole.get(id(value))
        if known is None:
            written = [
                f"{literal}{self.whole(getattr(value, info.name))}" if info is not None else literal for literal, info in _keys(type(value))
            ]
            known = self._whole[id(value)] = (value, f"{{{','.join(written)}}}")
        return known[1]

    def results(self, value: Any, located: Located, effect: Effect | None = None) -> str:
        """The same of the leaves that change a result, and nothing else; empty where there are none.

        `located` are the contents that stand for texts, by path. Objects on such a path, or promoted, are not remembered.
        """
        if not _is_object(value):
            return self._result_items(value, located, effect)
        promoted = promoted_paths(value)
        if located or promoted:
            return self._result_fields(value, located, promoted, effect)
        known = self._results.get((id(value), effect))
        if known is None:
            known = self._results[id(value), effect] = (value, self._result_fields(value, located, promoted, effect))
        return known[1]

    def _result_fields(self, value: Any, located: Located, promoted: frozenset[Path], effect: Effect | None) -> str:
        written = []
        for literal, info in _keys(type(value)):
            if info is None:
                if effect is None or effect is Effect.RESULT:
                    written.append(literal)
                continue
            if info.leaf.late and getattr(value, info.name) == info.default:
                continue
            more = {path[1:] for path in promoted if path[0] == info.key} if promoted else promoted
            text = self._promoted(getattr(value, info.name), _inside(located, info.key), more, info.leaf.effect or effect)
            if text:
                written.append(literal + text)
        return f"{{{','.join(written)}}}" if written else ""

    def _promoted(self, value: Any, located: Located, promoted: Set[Path], effect: Effect | None) -> str:
        if () in promoted:
            return self.results(value, located, Effect.RESULT)
        if not promoted or not _is_object(value):
            return self.results(value, located, effect)
        own = frozenset(promoted) | promoted_paths(value)
        return self._result_fields(value, located, own, effect)

    def _result_items(self, value: Any, located: Located, effect: Effect | None) -> str:
        if isinstance(value, dict):
            found = {key: self.results(value[key], _inside(located, key), effect) for key in sorted(value)}
            return _joined([(key, text) for key, text in found.items() if text]) if any(found.values()) else ""
        if isinstance(value, (list, tuple)) and value:
            items = [self.results(item, _inside(located, str(index)), effect) for index, item in enumerate(value)]
            return f"[{','.join(items)}]" if any(items) else ""
        if effect not in (None, Effect.RESULT):
            return ""
        if () in located:
            return canonical(located[()])
        return scalar(value) if isinstance(value, str | int | float | None) else canonical(encode(value))


def _keys(cls: type) -> tuple[tuple[str, FieldInfo | None], ...]:
    """The keys of a class in their order, as `"key":`; for a word also its tag, with its value and without a field."""
    if cls not in _KEYS:
        keys: dict[str, tuple[str, FieldInfo | None]] = {info.key: (f"{canonical(info.key)}:", info) for info in fields_of(cls)}
        if issubclass(cls, Word):
            keys[cls.tag] = (f"{canonical(cls.tag)}:{canonical(cls.word)}", None)
        _KEYS[cls] = tuple(keys[key] for key in sorted(keys))
    return _KEYS[cls]


_KEYS: dict[type, tuple[tuple[str, FieldInfo | None], ...]] = {}


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{canonical(key)}:{text}" for key, text in pairs) + "}"


def _collection(value: Any, write: Callable[[Any], str]) -> str:
    if isinstance(value, dict):
        return _joined([(key, write(value[key])) for key in sorted(value)])
    if isinstance(value, (list, tuple)):
        return f"[{','.join(write(item) for item in value)}]"
    return scalar(value) if isinstance(value, str | int | float | None) else canonical(encode(value))


def _inside(located: Located, key: str) -> Located:
    return {path[1:]: content for path, content in located.items() if path and path[0] == key} if located else located


def _is_object(value: Any) -> bool:
    cls = type(value)
    if cls not in _OBJECTS:
        _OBJECTS[cls] = dataclasses.is_dataclass(cls) and cls not in (Quantity, Reference)
    return _OBJECTS[cls]


_OBJECTS: dict[type, bool] = {}
