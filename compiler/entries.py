"""The language as a list of fields: each with every place in a spec where it may stand."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import dllm_run.specs.vocabulary
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import FieldInfo, Leaf, Shape, fields_of
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import Word, family_name, family_of, is_family, members

from .suggest import nearest

Path = tuple[str, ...]
NAME, INDEX = "NAME", "N"
"""In paths: a name that the user chooses, a position in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A field, or the key that names the word of a family."""

    info: FieldInfo
    owners: list[type] = field(default_factory=list)
    """Classes that have it."""
    places: dict[Path, Effect] = field(default_factory=dict)
    """Where it may stand, with what changing it there does."""

    @property
    def path(self) -> Path:
        """The first place, which is the shortest."""
        return next(iter(self.places))


@cache
def entries() -> tuple[Entry, ...]:
    """Every field of the language, in the order of the vocabulary."""
    found: dict[int, Entry] = {}
    for path, owner, info, effect in sorted(_walk(Spec, (), None), key=lambda item: len(item[0])):
        # Words inherit fields from the base of their family: one leaf is one entry.
        entry = found.setdefault(id(info.leaf), Entry(info=info))
        if owner not in entry.owners:
            entry.owners.append(owner)
        entry.places.setdefault(path, effect)
    return tuple(found.values())


def _walk(cls: type, path: Path, effect: Effect | None) -> Iterator[tuple[Path, type, FieldInfo, Effect]]:
    if issubclass(cls, Word) and is_family(cls):
        tag = tag_of(cls)
        yield (*path, tag.key), cls, tag, effect or Effect.RESULT
        for word in members(cls).values():
            yield from _walk(word, path, effect)
        return
    for info in fields_of(cls):
        here, below = (*path, info.key), info.leaf.effect or effect
        yield here, cls, info, below or Effect.RESULT
        yield from _below(info.shape, here, below)


def _below(shape: Shape, path: Path, effect: Effect | None) -> Iterator[tuple[Path, type, FieldInfo, Effect]]:
    if shape.cls is not None:
        yield from _walk(shape.cls, path, effect)
    if shape.items is not None:
        yield from _below(shape.items, (*path, INDEX), effect)
    if shape.values is not None:
        yield from _below(shape.values, (*path, NAME), effect)


def effect_of(info: FieldInfo) -> Effect:
    """What changing a field does, by itself or by what holds it: the weakest, where that differs between its places."""
    found = next(entry for entry in entries() if entry.info.leaf is info.leaf)
    return max(found.places.values(), key=list(Effect).index)


def places_of(cls: type) -> list[Path]:
    """Where a map, or one of the words of a family, may stand."""
    found = [(*path, *below) for entry in entries() for path in entry.places for below in _holds(entry.info.shape, cls)]
    return list(dict.fromkeys(found))


def _holds(shape: Shape, cls: type) -> Iterator[Path]:
    if shape.cls is cls:
        yield ()
    for key, inner in ((INDEX, shape.items), (NAME, shape.values)):
        if inner is not None:
            yield from ((key, *below) for below in _holds(inner, cls))


_TAGS: dict[type, FieldInfo] = {}


def tag_of(base: type[Word]) -> FieldInfo:
    """The key that names the word of a family, as a field."""
    if base not in _TAGS:
        leaf = Leaf(meaning=f"Which of the {family_name(base)}.", choices=tuple(members(base)))
        _TAGS[base] = FieldInfo(name=base.tag, key=base.tag, shape=Shape(scalars=(str,)), leaf=leaf, required=True, default=None)
    return _TAGS[base]


@cache
def families() -> tuple[type[Word], ...]:
    """The base of every family of words, by name."""
    found = []
    for module_info in pkgutil.iter_modules(dllm_run.specs.vocabulary.__path__):
        if not module_info.ispkg:
            continue
        module = importlib.import_module(f"{dllm_run.specs.vocabulary.__name__}.{module_info.name}")
        found += [
            value
            for value in vars(module).values()
            # What several words of a family have in common is no family of its own.
            if isinstance(value, type)
            and issubclass(value, Word)
            and is_family(value)
            and value.__module__ == module.__name__
            and family_of(value) is value
        ]
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a path or a word may mean."""

    exact: tuple[Entry, ...] = ()
    """Fields at just this path from the top of a spec."""
    inner: tuple[Entry, ...] = ()
    """Fields whose path ends so."""
    words: tuple[type[Word], ...] = ()
    families: tuple[type[Word], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.exact or self.inner or self.words or self.families)


def look_up(text: str) -> Meaning:
    """Everything that a user may mean by a path, the end of a path, a word, or the name of a family."""
    parts = tuple(text.split("."))
    exact = tuple(entry for entry in entries() if any(_is(place, parts) for place in entry.places))
    inner = tuple(entry for entry in entries() if entry not in exact and any(_ends(place, parts) for place in entry.places))
    words = [cls for base in families() for word, cls in members(base).items() if word == parts[0]]
    if len(parts) > 1:
        inside = {id(info.leaf) for cls in words for path, _, info, _ in _walk(cls, (), None) if _is(path, parts[1:])}
        return Meaning(exact=exact, inner=inner or tuple(entry for entry in entries() if id(entry.info.leaf) in inside))
    return Meaning(
        exact=exact, inner=inner, words=tuple(words), families=tuple(base for base in families() if family_name(base) == parts[0])
    )


def suggestion(text: str) -> str | None:
    """The path or word that a misspelt one most likely meant."""
    parts = text.split(".")
    known = {key for entry in entries() for key in entry.path if key not in (NAME, INDEX)}
    known |= {name for base in families() for name in (family_name(base), *members(base))} if len(parts) == 1 else set()
    for index, part in enumerate(parts):
        guess = None if part in known else nearest(part, known)
        better = ".".join([*parts[:index], guess or part, *parts[index + 1 :]])
        if guess is not None and look_up(better):
            return better
    last = nearest(parts[-1], known)
    return last if last is not None and last != text and look_up(last) else None


def _is(place: Path, parts: Path) -> bool:
    """Whether a user's path is this place; positions in lists may be left out."""
    if not place or not parts:
        return not place and not parts
    if place[0] == INDEX:
        return _is(place[1:], parts[1:] if parts[0].isdigit() else parts)
    return place[0] in (NAME, parts[0]) and _is(place[1:], parts[1:])


def _ends(place: Path, parts: Path) -> bool:
    """Whether a user's path is the end of this place, beginning with a word of the language."""
    return any(place[start] == parts[0] and _is(place[start:], parts) for start in range(1, len(place)))
