"""What a vocabulary object mentions: edges, inputs, data sets, words. Taken once for each object, however many stages share it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .effect import Effect
from .field import FieldInfo, Leaf, Shape, fields_of
from .hub import revised
from .locator import kind_of, names_input
from .parts import Path, is_vocabulary
from .reference import Reference
from .vocabulary.data import Data
from .word import Word, family_name


class Edge(NamedTuple):
    """A reference to a stage, where it stands, and what its field declares."""

    path: Path
    reference: Reference
    leaf: Leaf | None


class Located(NamedTuple):
    """A text that names an input, where it stands, and what it locates: `data`, `model`, `task`, …"""

    path: Path
    text: str
    what: str
    revision: Path | None = None
    """Of something on a hub: the place of its revision, which is in the text by now and does not count by itself."""

    def below(self, path: Path) -> "Located":
        """The same, seen from what holds it at `path`."""
        return Located((*path, *self.path), self.text, self.what, None if self.revision is None else (*path, *self.revision))


class Inventory(NamedTuple):
    """Everything below one object; paths are relative to it."""

    edges: tuple[Edge, ...]
    inputs: tuple[Located, ...]
    data: tuple[tuple[Path, Data], ...]
    """Data sets in the place of prepared ones. A stage of their own prepares them: what they mention is not here."""
    objects: tuple[tuple[Path, Any], ...]
    """Every vocabulary object, the holder first, data sets and what is in them too."""
    words: tuple[tuple[str, int | str], ...]
    """`family/word` with its semantic version, and with its code if it comes from a file; of what can change a result."""


class Inventories:
    """Takes inventories and remembers them by identity; what was looked at stays alive with it."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Inventory]] = {}

    def of(self, value: Any) -> Inventory:
        """The inventory of a vocabulary object."""
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = (value, self._taken(value))
        return known[1]

    def _taken(self, value: Any) -> Inventory:
        found = _Found(objects=[((), value)])
        if isinstance(value, Word):
            version = f"{value.semantics}:{value.code[:16]}" if value.code else value.semantics
            found.words[f"{family_name(type(value))}/{value.word}"] = version
        for info in _telling(type(value)):
            given, beside = getattr(value, info.name), info.leaf.revised_by
            if beside is not None and isinstance(given, str) and kind_of(given, str(info.leaf.locates)) == "hub":
                text = revised(given, getattr(value, beside), str(info.leaf.locates))
                found.inputs.append(Located((info.key,), text, str(info.leaf.locates), (beside,)))
                continue
            self._enter(given, (info.key,), info.leaf, found)
        return Inventory(
            tuple(found.edges), tuple(found.inputs), tuple(found.data), tuple(found.objects), tuple(sorted(found.words.items()))
        )

    def _enter(self, value: Any, path: Path, leaf: Leaf, found: "_Found") -> None:
        if isinstance(value, str):
            if leaf.locates is not None and names_input(value, leaf.locates):
                found.inputs.append(Located(path, value, leaf.locates))
        elif isinstance(value, Reference):
            found.edges.append(Edge(path, value, leaf))
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                self._enter(item, (*path, str(index)), leaf, found)
        elif isinstance(value, dict):
            for key, item in value.items():
                self._enter(item, (*path, key), leaf, found)
        elif is_vocabulary(value):
            below = self.of(value)
            found.objects.extend(((*path, *inner), item) for inner, item in below.objects)
            if isinstance(value, Data) and leaf.output is not None:
                found.data.append((path, value))
                return
            found.edges.extend(edge._replace(path=(*path, *edge.path)) for edge in below.edges)
            found.inputs.extend(item.below(path) for item in below.inputs)
            found.data.extend(((*path, *inner), item) for inner, item in below.data)
            if leaf.effect is not Effect.NONE:
                found.words.update(below.words)


def _telling(cls: type) -> tuple[FieldInfo, ...]:
    """The fields that can mention anything: not those of plain numbers and texts."""
    if cls not in _TELLING:
        _TELLING[cls] = tuple(info for info in fields_of(cls) if info.leaf.locates is not None or _may_hold(info.shape))
    return _TELLING[cls]


def _may_hold(shape: Shape) -> bool:
    return shape.edge or shape.cls is not None or any(_may_hold(inner) for inner in (shape.items, shape.values) if inner is not None)


_TELLING: dict[type, tuple[FieldInfo, ...]] = {}


@dataclass(slots=True)
class _Found:
    objects: list[tuple[Path, Any]]
    edges: list[Edge] = field(default_factory=list)
    inputs: list[Located] = field(default_factory=list)
    data: list[tuple[Path, Data]] = field(default_factory=list)
    words: dict[str, int | str] = field(default_factory=dict)
