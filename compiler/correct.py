"""Misspelt keys and words, put right: each is told once, and what only follows from it is not told at all."""

from dataclasses import dataclass, field
from itertools import islice

from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.field import FieldInfo, Shape, fields_of
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import Word, is_family, members

from .expand import expand
from .node import Node, Path
from .read import MAX_FOUND
from .suggest import nearest, nearest_free
from .validate import not_a_choice, unknown_key


@dataclass(slots=True)
class Corrected:
    """A tree in the words that were most likely meant."""

    tree: Node
    found: list[Diagnostic] = field(default_factory=list)
    renamed: set[Path] = field(default_factory=set)
    """Keys, by the names that they have now."""
    doubtful: set[Path] = field(default_factory=set)
    """Maps whose word is a guess, or that lost a key without a guess: what they lack may stand there under another name."""


def correct(tree: Node) -> Corrected:
    """Put right what has a nearest word; keys without one are left out. Only what no reading of a map knows counts as misspelt."""
    done = Corrected(tree)
    told = -1
    # A key that has its name again brings values which nobody has looked at yet.
    while told < len(done.found) < MAX_FOUND:
        told = len(done.found)
        done.tree = _map(done, expand(done.tree, Spec), Spec, ())
    return done


def _map(done: Corrected, node: Node, cls: type, path: Path) -> Node:
    assert isinstance(node.value, dict)
    if len(done.found) >= MAX_FOUND:
        return node
    if not issubclass(cls, Word):
        return _fields(done, node, cls, path)
    if not is_family(cls):
        return _fields(done, node, cls, path, (cls.tag,))
    words = members(cls)
    named = node.value.get(cls.tag)
    if named is None:
        return _without_word(done, node, cls, path)
    if isinstance(named.value, str) and named.value in words:
        return _fields(done, node, words[named.value], path, (cls.tag,))
    guess = nearest(named.value, words) if isinstance(named.value, str) else None
    if guess is None:
        return node
    item = not_a_choice(named, ".".join(map(str, (*path, cls.tag))), named.value, words)
    done.found.append(item)
    done.doubtful.add(path)
    value = {**node.value, cls.tag: Node(guess, named.mark, named.key_mark)}
    known = [info.key for info in fields_of(words[guess])]
    value = {key: child for key, child in value.items() if key in (*known, cls.tag) or key not in _keys(cls)}
    return Node(value, node.mark, node.key_mark)


def _without_word(done: Corrected, node: Node, cls: type[Word], path: Path) -> Node:
    """A map that does not say its word: under a misspelt key, or it is handed down from the top of the spec."""
    assert isinstance(node.value, dict)
    known, words = _keys(cls), members(cls)
    for key, child in islice(node.value.items(), MAX_FOUND):
        word = words.get(child.value) if isinstance(child.value, str) else None
        named = word is not None and key not in [info.key for info in fields_of(word)]
        if named or (key not in known and nearest(key, [*known, cls.tag]) == cls.tag):
            return _renamed(done, node, {key: cls.tag}, [*known, cls.tag], path)
    return _renamed(done, node, _guesses(done, node, [*known, cls.tag]), [*known, cls.tag], path)


def _fields(done: Corrected, node: Node, cls: type, path: Path, tags: tuple[str, ...] = ()) -> Node:
    assert isinstance(node.value, dict)
    infos: dict[str, FieldInfo] = {info.key: info for info in fields_of(cls)}
    known = [*infos, *tags]
    new = _renamed(done, node, _guesses(done, node, known), known, path)
    assert isinstance(new.value, dict)
    value = {key: _value(done, child, infos[key].shape, (*path, key)) if key in infos else child for key, child in new.value.items()}
    return Node(value, node.mark, node.key_mark)


def _value(done: Corrected, node: Node, shape: Shape, path: Path) -> Node:
    if isinstance(node.value, dict):
        if shape.cls is not None:
            return _map(done, node, shape.cls, path)
        if shape.values is not None:
            values = shape.values
            return Node({key: _value(done, child, values, (*path, key)) for key, child in node.value.items()}, node.mark, node.key_mark)
    elif isinstance(node.value, list) and shape.items is not None:
        items = shape.items
        return Node([_value(done, child, items, (*path, index)) for index, child in enumerate(node.value)], node.mark, node.key_mark)
    return node


def _guesses(done: Corrected, node: Node, known: list[str]) -> dict[str, str | None]:
    """The unknown keys of a map, with those of the known keys that they most likely mean."""
    assert isinstance(node.value, dict)
    taken = set(node.value)
    found: dict[str, str | None] = {}
    for key in islice((key for key in node.value if key not in known), MAX_FOUND - len(done.found)):
        guess = nearest_free(key, known, taken)
        found[key] = guess
        taken |= {guess or key}
    return found


def _renamed(done: Corrected, node: Node, guesses: "dict[str, str] | dict[str, str | None]", known: list[str], path: Path) -> Node:
    """The map with the keys that were meant; what would stand there twice, or means nothing, is left out."""
    assert isinstance(node.value, dict)
    if not guesses:
        return node
    value = {key: child for key, child in node.value.items() if key not in guesses}
    for key, guess in guesses.items():
        done.found.append(unknown_key(key, node.value[key], ".".join(map(str, path)), guess, known))
        if guess is None or guess in value:
            done.doubtful.add(path)
        else:
            value[guess] = node.value[key]
            done.renamed.add((*path, guess))
    return Node(value, node.mark, node.key_mark)


def _keys(cls: type[Word]) -> list[str]:
    """The keys of all words of a family."""
    return list(dict.fromkeys(info.key for word in members(cls).values() for info in fields_of(word)))
