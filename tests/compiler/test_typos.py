"""Typos in keys and words: each is answered at its place with the word that was meant, and with little else."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dllm_run.compiler.compile import Source, compile_spec
from dllm_run.compiler.lock import Lock
from dllm_run.compiler.node import Node
from dllm_run.compiler.read import read
from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.field import Shape, fields_of
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import Word, is_family, members

ROOT = Path(__file__).parents[2]
TEXTS = {
    f"{file.parent.name}/{file.stem}": file.read_text(encoding="utf-8")
    for folder in ("specs/recipes", "tests/data", "tests/data/specs")
    for file in sorted((ROOT / folder).glob("*.yaml"))
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
KEYBOARD = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


class Place(NamedTuple):
    """A key or a word of the language where a text has it."""

    text: str
    role: str
    word: str
    line: int
    column: int
    legal: frozenset[str]
    """What else the language has a meaning for at this place: one of these instead is a mistake, but no typo that can be told."""


class Typo(NamedTuple):
    """One typo in one text."""

    place: Place
    kind: str
    wrong: str


# --- where keys and words stand


def places(name: str) -> list[Place]:
    """Every key and every word of a text; names that the user chose and free texts are neither."""
    return list(in_map(name, read(TEXTS[name].encode(), name), Spec))


def in_map(name: str, node: Node, cls: type) -> Iterator[Place]:
    assert isinstance(node.value, dict)
    classes: list[type] = [cls]
    if issubclass(cls, Word) and is_family(cls):
        words = members(cls)
        tag = node.value.get(cls.tag)
        classes = list(words.values())  # a stage's launch may leave its word to the top
        if tag is not None:
            classes = [words[str(tag.value)]]
            yield from the_key(name, tag, cls.tag, frozenset(info.key for word in words.values() for info in fields_of(word)))
            yield from the_value(name, tag, frozenset(words))
    infos = {info.key: info for target in classes for info in fields_of(target)}
    for key, child in node.value.items():
        if key in infos:
            yield from the_key(name, child, key, frozenset(infos) | ({cls.tag} if issubclass(cls, Word) else set()))
            yield from in_value(name, child, infos[key].shape, infos[key].leaf.choices)


def in_value(name: str, node: Node, shape: Shape, choices: tuple[str | int, ...]) -> Iterator[Place]:
    if isinstance(node.value, dict):
        if shape.cls is not None:
            yield from in_map(name, node, shape.cls)
        for child in node.value.values() if shape.values is not None else ():
            yield from in_value(name, child, shape.values or shape, choices)
    elif isinstance(node.value, list):
        for child in node.value if shape.items is not None else ():
            yield from in_value(name, child, shape.items or shape, choices)
    elif isinstance(node.value, str) and node.value in choices:
        yield from the_value(name, node, frozenset(map(str, choices)))
    elif shape.cls is not None and issubclass(shape.cls, Word) and is_family(shape.cls) and node.value in members(shape.cls):
        # Where a free text may stand as well, a typo in a word is a text.
        if not shape.scalars:
            yield from the_value(name, node, frozenset(members(shape.cls)))


def the_key(name: str, node: Node, key: str, legal: frozenset[str]) -> Iterator[Place]:
    assert node.key_mark is not None
    yield Place(name, "key", key, node.key_mark.line, node.key_mark.column, legal)


def the_value(name: str, node: Node, legal: frozenset[str]) -> Iterator[Place]:
    assert isinstance(node.value, str)
    yield Place(name, "word", node.value, node.mark.line, node.mark.column, legal)


# --- what fingers do


def inserted(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word) + 1)
    return word[:at] + rng.choice(LETTERS) + word[at:]


def deleted(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word))
    return word[:at] + word[at + 1 :]


def doubled(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word))
    return word[: at + 1] + word[at:]


def substituted(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word))
    return word[:at] + rng.choice(LETTERS) + word[at + 1 :]


def slipped(rng: random.Random, word: str) -> str:
    """The key next to the right one."""
    at = rng.randrange(len(word))
    row = next((row for row in KEYBOARD if word[at] in row), "_-")
    beside = row.index(word[at]) + rng.choice((-1, 1)) if word[at] in row else 0
    return word[:at] + row[max(0, min(beside, len(row) - 1))] + word[at + 1 :]


def transposed(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def recased(rng: random.Random, word: str) -> str:
    first, *rest = word.split("_")
    return rng.choice([word.upper(), word.capitalize(), first + "".join(map(str.capitalize, rest))])


def rejoined(rng: random.Random, word: str) -> str:
    return word.replace("_", rng.choice(["-", ""]))


def renumbered(rng: random.Random, word: str) -> str:
    return word.removesuffix("s") if word.endswith("s") else word + "s"


TYPOS: dict[str, Callable[[random.Random, str], str]] = {
    "insert": inserted, "delete": deleted, "double": doubled, "substitute": substituted, "neighbour": slipped,
    "transpose": transposed, "case": recased, "separator": rejoined, "number": renumbered,
}  # fmt: skip


def typos(seed: int, count: int) -> list[Typo]:
    """Distinct typos, the texts and the kinds of typo taken in turn, every second one in a word. One that is legal where it stands is none."""
    rng = random.Random(seed)
    of = {(name, role): [place for place in places(name) if place.role == role] for name in TEXTS for role in ("key", "word")}
    found: dict[tuple[Place, str], Typo] = {}
    turn = 0
    while len(found) < count:
        # Three wheels that turn one another: every text meets every kind of typo in keys and in words.
        rest, at = divmod(turn, len(TEXTS))
        rest, role = divmod(rest, 2)
        kind = list(TYPOS)[rest % len(TYPOS)]
        place = rng.choice(of[list(TEXTS)[at], ("key", "word")[role]])
        wrong = TYPOS[kind](rng, place.word)
        turn += 1
        if wrong and wrong != place.word and wrong not in place.legal:
            found.setdefault((place, wrong), Typo(place, kind, wrong))
    return list(found.values())


def with_typo(typo: Typo) -> str:
    place = typo.place
    lines = TEXTS[place.text].split("\n")
    line, start = lines[place.line - 1], place.column - 1
    assert line[start:].startswith(place.word)
    lines[place.line - 1] = line[:start] + typo.wrong + line[start + len(place.word) :]
    return "\n".join(lines)


def diagnosed(text: str) -> tuple[Diagnostic, ...]:
    try:
        compile_spec(Source(file="spec.yaml", data=text.encode()), Lock(Path("nowhere")))
    except SpecError as error:
        return error.diagnostics
    return ()


def is_answer(item: Diagnostic, typo: Typo) -> bool:
    """Whether a finding stands where the typo does and names the word that was meant."""
    mark = item.mark
    there = mark is not None and (mark.line, mark.column) == (typo.place.line, typo.place.column)
    return there and (f"did you mean {typo.place.word!r}?" in item.label or (item.fix or "").endswith(f"={typo.place.word}"))


def told(typo: Typo, found: tuple[Diagnostic, ...]) -> str:
    said = "; ".join(f"{item.code} {item.message}: {item.label}" for item in found) or "nothing"
    return f"{typo.kind} {typo.place.role} {typo.place.text}:{typo.place.line} {typo.place.word} -> {typo.wrong}: {said}"


@pytest.fixture(scope="module")
def answers() -> list[tuple[Typo, tuple[Diagnostic, ...]]]:
    return [(typo, diagnosed(with_typo(typo))) for typo in typos(seed=0, count=250)]


def test_of_200_typos_at_least_95_of_100_are_answered_with_the_right_word_at_the_right_place(
    answers: list[tuple[Typo, tuple[Diagnostic, ...]]],
) -> None:
    misses = [told(typo, found) for typo, found in answers if not any(is_answer(item, typo) for item in found)]
    assert len(answers) >= 200
    assert len(misses) <= 0.05 * len(answers), "\n".join(misses)


def test_a_typo_is_told_and_nothing_that_only_follows_from_it(answers: list[tuple[Typo, tuple[Diagnostic, ...]]]) -> None:
    loud = [told(typo, found) for typo, found in answers if len([item for item in found if item.severity == "error"]) > 1]
    assert len(loud) <= 0.02 * len(answers), "\n".join(loud)


def test_the_typos_are_of_all_kinds_and_in_all_texts(answers: list[tuple[Typo, tuple[Diagnostic, ...]]]) -> None:
    kinds = Counter(typo.kind for typo, _ in answers)
    assert set(kinds) == set(TYPOS) and min(kinds.values()) >= 10
    assert {typo.place.text for typo, _ in answers} == set(TEXTS)
    assert 3 * sum(typo.place.role == "word" for typo, _ in answers) >= len(answers)
    assert len({(typo.place, typo.wrong) for typo, _ in answers}) == len(answers)
