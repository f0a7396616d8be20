"""Misspelt keys and words of a spec's own file, and the spellings of other tools, as edits: only those with one certain answer."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dllm_run.specs.errors import Diagnostic, Mark
from dllm_run.specs.field import FieldInfo, Shape, fields_of
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import Word, is_family, members

from .certain import Answer, certain
from .correct import correct
from .edits import Edit, Text, edited, moved
from .expand import class_at
from .node import Node

_TOLD = ("E102", "E103", "E104", "E106")
_AMOUNT = re.compile(r"\d+(\.\d+)?")
_EPOCHS = "epochs"

Trees = Callable[[str], list[Node]]
"""The trees that a text of the spec gives, one for each case; none where it cannot be read."""
Misfits = Callable[[list[Node]], list[Diagnostic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A key or a word that is written as the language has it."""

    path: str
    """Of the key by its new name, or of the value; its parents as they were written."""
    old: str
    new: str
    edits: tuple[Edit, ...]
    places: tuple[int, ...]
    """Where a diagnostic about it would stand: the key and its value, or the word."""


@dataclass(slots=True)
class _Uses:
    """How the maps and scalars of a file are read, by where they begin: more ways than one where an alias or a case uses them again."""

    keys: dict[Mark, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))
    words: dict[Mark, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))


def respell(raw: Node, text: str, trees: Trees, misfits: Misfits) -> tuple[Change, ...]:
    """The changes of a file that was read as `raw`. Each was tried: one that the compiler finds fault with is withdrawn."""
    changes = _changes(raw, Text.of(text), trees(text))
    while changes:
        edits = [edit for change in changes for edit in change.edits]
        new = edited(text, edits)
        told = _places_told(misfits(trees(new)), Text.of(new), raw.mark.file)
        kept = [
            change
            for change in changes
            if not any((moved(place, edits), change.path.rpartition(".")[2]) in told for place in change.places)
        ]
        if len(kept) == len(changes):
            break
        changes = kept
    return tuple(changes)


def _places_told(found: list[Diagnostic], text: Text, file: str) -> set[tuple[int, str]]:
    return {
        (text.offset(item.mark), name)
        for item in found
        if item.code in _TOLD and item.mark is not None and item.mark.file == file
        # A bare word is told as the `type` of the map that it stands for, at its own place.
        for name in item.path.split(".")[-2:]
    }


def _changes(raw: Node, text: Text, trees: list[Node]) -> list[Change]:
    scalars = {node.mark: node.value for _, node in raw.walk() if isinstance(node.value, str)}
    names = {child.key_mark: key for _, node in raw.walk() if isinstance(node.value, dict) for key, child in node.value.items()}
    uses = _Uses()
    for tree in trees:
        _Reader(uses, scalars, names).read_map(correct(tree).tree, Spec)
    holders: dict[Mark | None, set[Mark]] = defaultdict(set)
    for _, node in raw.walk():
        for child in node.value.values() if isinstance(node.value, dict) else ():
            holders[child.key_mark].add(node.mark)
    found: dict[int, Change] = {}
    for path, node in raw.walk():
        answers = _answers(node, uses) if isinstance(node.value, dict) else {}
        for key, answer in answers.items():
            assert isinstance(node.value, dict)
            child = node.value[key]
            everywhere = {found.get(key) for found in _answers_of(holders[child.key_mark], node, uses)}
            change = _renamed(text, (*path, answer.word), key, child, answer) if everywhere == {answer} else None
            if change is not None:
                found.setdefault(change.edits[0].start, change)
        if isinstance(node.value, str) and node.mark in uses.words:
            readings = {certain(node.value, words) if node.value not in words else None for words in uses.words[node.mark]}
            word = readings.pop() if len(readings) == 1 else None
            edit = _token(text, node.mark, node.value, word.word) if word is not None and not word.unit else None
            if word is not None and edit is not None:
                change = Change(path=_dotted(path), old=node.value, new=word.word, edits=(edit,), places=(edit.start,))
                found.setdefault(edit.start, change)
    return [found[start] for start in sorted(found)]


def _answers_of(places: set[Mark], node: Node, uses: _Uses) -> list[dict[str, Answer]]:
    """What the keys of a map mean wherever it stands; nothing where it is read as something that has no keys of ours."""
    return [_answers(Node(node.value, place), uses) for place in places]


def _answers(node: Node, uses: _Uses) -> dict[str, Answer]:
    """The keys of a map that certainly mean another one, which no other key of it is or means, in all ways of reading it."""
    assert isinstance(node.value, dict)
    readings = [_answers_among(node.value, known) for known in uses.keys.get(node.mark, ())]
    return {key: answer for key, answer in readings[0].items() if all(other.get(key) == answer for other in readings)} if readings else {}


def _answers_among(keys: dict[str, Node], known: tuple[str, ...]) -> dict[str, Answer]:
    meant = {key: answer for key in keys if key not in known and (answer := certain(key, known)) is not None}
    count = Counter(answer.word for answer in meant.values())
    return {key: answer for key, answer in meant.items() if count[answer.word] == 1 and answer.word not in keys}


def _renamed(text: Text, path: tuple[str | int, ...], key: str, child: Node, answer: Answer) -> Change | None:
    """The edits that rename a key, and give a bare number under it its unit; None where that is not exact."""
    assert child.key_mark is not None
    edit = _token(text, child.key_mark, key, answer.word)
    if edit is None:
        return None
    edits, place = [edit], text.offset(child.mark)
    old, new = key, answer.word
    if answer.unit and not isinstance(child.value, str):
        amount = text.at(child.mark)
        whole = answer.unit == _EPOCHS or amount.isdecimal()
        if not isinstance(child.value, int | float) or isinstance(child.value, bool) or not whole or not _AMOUNT.fullmatch(amount):
            return None
        edits.append(Edit(start=place + len(amount), end=place + len(amount), text=f" {answer.unit}"))
        old, new = f"{key}: {amount}", f"{answer.word}: {amount} {answer.unit}"
    return Change(path=_dotted(path), old=old, new=new, edits=tuple(edits), places=(edit.start, place))


def _token(text: Text, mark: Mark, old: str, new: str) -> Edit | None:
    """The edit of one plain or quoted word; None where it is written in any other way."""
    start, written = text.offset(mark), text.at(mark)
    quote = written[:1] if written[:1] in ("'", '"') else ""
    if written != f"{quote}{old}{quote}":
        return None
    inside = start + len(quote)
    return Edit(start=inside, end=inside + len(old), text=new)


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Goes through a corrected tree and notes which keys and words each place may hold. Below an uncertain guess nothing is noted."""

    uses: _Uses
    scalars: dict[Mark, str]
    names: dict[Mark | None, str]

    def read_map(self, node: Node, cls: type) -> None:
        assert isinstance(node.value, dict)
        tags = (cls.tag,) if issubclass(cls, Word) else ()
        word = node.value.get(cls.tag) if issubclass(cls, Word) and is_family(cls) else None
        if word is not None and issubclass(cls, Word):
            words = tuple(members(cls))
            self.uses.words[word.mark].add(words)
            written = self.scalars.get(word.mark, word.value)
            if not isinstance(written, str) or (written not in words and certain(written, words) is None):
                return
        target = class_at(node, cls)
        classes = [target] if target is not None else list(members(cls).values()) if issubclass(cls, Word) else []
        infos: dict[str, FieldInfo] = {info.key: info for each in classes for info in fields_of(each)}
        self.uses.keys[node.mark].add((*infos, *tags))
        for key, child in node.value.items():
            written_key = self.names.get(child.key_mark, key)
            if key in infos and (written_key == key or certain(written_key, (*infos, *tags)) is not None):
                self._read_value(child, infos[key].shape, tuple(str(choice) for choice in infos[key].leaf.choices))

    def _read_value(self, node: Node, shape: Shape, choices: tuple[str, ...]) -> None:
        for child in _below(node, shape):
            self._read_value(child, (shape.values if isinstance(node.value, dict) else shape.items) or shape, choices)
        if isinstance(node.value, dict) and shape.cls is not None:
            self.read_map(node, shape.cls)
        elif isinstance(node.value, str) and choices and not node.value.startswith("${"):
            self.uses.words[node.mark].add(choices)


def _below(node: Node, shape: Shape) -> Iterator[Node]:
    if isinstance(node.value, dict) and shape.cls is None and shape.values is not None:
        yield from node.value.values()
    elif isinstance(node.value, list) and shape.items is not None:
        yield from node.value
