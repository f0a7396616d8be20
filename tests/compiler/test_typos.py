"""Typos in keys and words: each is answered at its place with the word that was meant, and with little else."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
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
PROFILES = {"profile.yaml": b"qos: low\n", "here.yaml": b"{}\n"}
"""What tests/data/complete.yaml is laid over: without them compiling stops before anything else is told."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
KEYBOARD = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


class Place(NamedTuple):
    """A key or a word of the language where a text has it."""

    text: str
    role: str
    word: str
    line: int
    column: int
    map: str
    """Where the map begins that holds it."""
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
            yield the_key(name, node, cls.tag, frozenset(info.key for word in words.values() for info in fields_of(word)))
            yield the_word(name, node, tag, frozenset(words))
    infos = {info.key: info for target in classes for info in fields_of(target)}
    for key, child in node.value.items():
        if key in infos:
            yield the_key(name, node, key, frozenset(infos) | ({cls.tag} if issubclass(cls, Word) else set()))
            yield from in_value(name, node, child, infos[key].shape, infos[key].leaf.choices)


def in_value(name: str, holder: Node, node: Node, shape: Shape, choices: tuple[str | int, ...]) -> Iterator[Place]:
    if isinstance(node.value, dict):
        if shape.cls is not None:
            yield from in_map(name, node, shape.cls)
        for child in node.value.values() if shape.values is not None else ():
            yield from in_value(name, node, child, shape.values or shape, choices)
    elif isinstance(node.value, list):
        for child in node.value if shape.items is not None else ():
            yield from in_value(name, holder, child, shape.items or shape, choices)
    elif isinstance(node.value, str) and node.value in choices:
        yield the_word(name, holder, node, frozenset(map(str, choices)))
    elif shape.cls is not None and issubclass(shape.cls, Word) and is_family(shape.cls):
        words = members(shape.cls)
        # With scalars a free text may stand there as well, and a typo in a word is one.
        yield from [the_word(name, holder, node, frozenset(words))] if node.value in words and not shape.scalars else []


def the_key(name: str, holder: Node, key: str, legal: frozenset[str]) -> Place:
    assert isinstance(holder.value, dict)
    mark = holder.value[key].key_mark
    assert mark is not None
    return Place(name, "key", key, mark.line, mark.column, f"{holder.mark.line}:{holder.mark.column}", legal)


def the_word(name: str, holder: Node, node: Node, legal: frozenset[str]) -> Place:
    assert isinstance(node.value, str)
    return Place(name, "word", node.value, node.mark.line, node.mark.column, f"{holder.mark.line}:{holder.mark.column}", legal)


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
    if len(word) == 1:
        return word * 2
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
    """Distinct typos, texts, kinds and roles taken in turn. What is legal where it stands is no typo."""
    rng = random.Random(seed)
    of = {(name, role): [place for place in places(name) if place.role == role] for name in TEXTS for role in ("key", "word")}
    found: dict[tuple[Place, str], Typo] = {}
    turn = 0
    while len(found) < count:
        # Three wheels that turn one another: every text meets every kind of typo in keys and in words.
        rest, at = divmod(turn, len(TEXTS))
        rest, role = divmod(rest, 2)
        kind = list(TYPOS)[rest % len(TYPOS)]
        choices = of[list(TEXTS)[at], ("key", "word")[role]]
        place = rng.choice([place for place in choices if kind != "separator" or "_" in place.word] or choices)
        wrong = TYPOS[kind](rng, place.word)
        turn += 1
        if wrong and wrong != place.word and wrong not in place.legal:
            found.setdefault((place, wrong), Typo(place, kind, wrong))
    return list(found.values())


def with_typos(*made: Typo) -> str:
    """The text of the typos with all of them in it."""
    lines = TEXTS[made[0].place.text].split("\n")
    for place, _, wrong in sorted(made, key=lambda typo: -typo.place.column):
        line, start = lines[place.line - 1], place.column - 1
        assert line[start:].startswith(place.word)
        lines[place.line - 1] = line[:start] + wrong + line[start + len(place.word) :]
    return "\n".join(lines)


def diagnosed(text: str) -> tuple[Diagnostic, ...]:
    try:
        compile_spec(Source(file="spec.yaml", data=text.encode(), read_file=lambda path: b"{}\n"), Lock(Path("nowhere")))
    except SpecError as error:
        return error.diagnostics
    return ()


def is_answered(typo: Typo, found: Sequence[Diagnostic], others: Sequence[Typo] = ()) -> bool:
    """Whether a finding stands where the typo does and names the word that was meant; other typos before it on its line move it."""
    line, column, word = typo.place.line, typo.place.column, typo.place.word
    before = [other for other in others if other.place.line == line and other.place.column < column]
    column += sum(len(other.wrong) - len(other.place.word) for other in before)
    there = [item for item in found if item.mark is not None and (item.mark.line, item.mark.column) == (line, column)]
    return any(f"did you mean {word!r}?" in item.label or (item.fix or "").endswith(f"={word}") for item in there)


def told(made: Sequence[Typo], found: tuple[Diagnostic, ...]) -> str:
    said = "; ".join(f"{item.code} {item.message}: {item.label}" for item in found) or "nothing"
    wrongs = ", ".join(f"{kind} {place.role} {place.text}:{place.line} {place.word} -> {wrong}" for place, kind, wrong in made)
    return f"{wrongs}: {said}"


@pytest.fixture(scope="module")
def answers() -> list[tuple[Typo, tuple[Diagnostic, ...]]]:
    return [(typo, diagnosed(with_typos(typo))) for typo in typos(seed=0, count=250)]


def test_of_200_typos_at_least_95_of_100_are_answered_with_the_right_word_at_the_right_place(
    answers: list[tuple[Typo, tuple[Diagnostic, ...]]],
) -> None:
    misses = [told([typo], found) for typo, found in answers if not is_answered(typo, found)]
    assert len(answers) >= 200
    assert len(misses) <= 0.05 * len(answers), "\n".join(misses)


def test_a_typo_is_told_and_nothing_that_only_follows_from_it(answers: list[tuple[Typo, tuple[Diagnostic, ...]]]) -> None:
    loud = [told([typo], found) for typo, found in answers if len([item for item in found if item.severity == "error"]) > 1]
    assert len(loud) <= 0.02 * len(answers), "\n".join(loud)


def test_the_typos_are_of_all_kinds_and_in_all_texts(answers: list[tuple[Typo, tuple[Diagnostic, ...]]]) -> None:
    kinds = Counter(typo.kind for typo, _ in answers)
    assert set(kinds) == set(TYPOS) and min(kinds.values()) >= 10
    assert {typo.place.text for typo, _ in answers} == set(TEXTS)
    assert 3 * sum(typo.place.role == "word" for typo, _ in answers) >= len(answers)
    assert len({(typo.place, typo.wrong) for typo, _ in answers}) == len(answers)


# --- bad days


def pairs(seed: int, count: int) -> list[tuple[Typo, Typo]]:
    """Two typos in one map."""
    rng = random.Random(seed)
    maps: dict[tuple[str, str], list[Typo]] = {}
    for typo in typos(seed, 20 * count):
        maps.setdefault((typo.place.text, typo.place.map), []).append(typo)
    both = [
        (first, second)
        for made in maps.values()
        for first, second in combinations(made, 2)
        if first.place != second.place and first.wrong != second.wrong
    ]
    return rng.sample(both, count)


def test_of_two_typos_in_one_map_both_are_answered_and_nothing_else_is_told() -> None:
    tries = [(both, diagnosed(with_typos(*both))) for both in pairs(seed=0, count=100)]
    misses = [told(both, found) for both, found in tries if len(found) != 2 or not all(is_answered(typo, found, both) for typo in both)]
    assert len(misses) <= 5, "\n".join(misses)


BASE = """\
version: 1
name: small
data:
  docs: {sources: [./docs.txt], holdout: 0.1}
model: {scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes}
stages:
  train:
    kind: pretrain
    data: ${data.docs}
    objective: mdlm
    batch: 32
    optimizer: {learning_rate: 1e-3}
    duration: 100 steps
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["Once "]
    max_new_tokens: 64
    sampler: {type: llada, steps: 16}
"""


@pytest.mark.parametrize(
    ("edits", "flags", "answers"),
    [
        pytest.param(
            {"optimizer: {learning_rate": "optimzer: {lerning_rate"},
            (),
            {"12:5 did you mean 'optimizer'?", "12:16 did you mean 'learning_rate'?"},
            id="a-typo-below-a-typo",
        ),
        pytest.param(
            {"{type: llada, steps": "{type: lada, stesp"},
            (),
            {"19:21 did you mean 'llada'?", "19:27 did you mean 'steps'?"},
            id="a-typo-beside-a-misspelt-word",
        ),
        pytest.param({"kind: pretrain": "kind: pretrian"}, (), {"8:11 did you mean 'pretrain'?"}, id="a-word-that-all-fields-hang-on"),
        pytest.param(
            {"name: small": "name: small\nlaunch: {type: lokal, partition: gpu}"},
            (),
            {"3:16 did you mean 'local'?"},
            id="a-word-whose-guess-does-not-know-its-fields",
        ),
        pytest.param({"kind: pretrain": "kind: flub"}, (), {"8:11 "}, id="a-word-that-nobody-knows"),
        pytest.param({"kind: pretrain": "kind: eval"}, (), None, id="another-word-is-no-typo"),
        pytest.param({"kind: pretrain": "knid: pretrain"}, (), {"8:5 did you mean 'kind'?"}, id="the-key-of-the-word"),
        pytest.param({"kind: pretrain": "type: pretrain"}, (), {"8:5 did you mean 'kind'?"}, id="the-key-of-the-word-elsewhere"),
        pytest.param(
            {"kind: pretrain": "knid: pretrian"}, (), {"8:5 did you mean 'kind'?", "8:11 did you mean 'pretrain'?"}, id="word-and-its-key"
        ),
        pytest.param({"family: llama": "type: llama"}, (), {"5:19 did you mean 'family'?"}, id="the-key-of-the-family"),
        pytest.param({"data:\n": "dat:\n"}, (), {"3:1 did you mean 'data'?"}, id="a-section-that-others-refer-to"),
        pytest.param({"model: {scratch": "modle: {scratch"}, (), {"5:1 did you mean 'model'?"}, id="a-section-that-stages-inherit"),
        pytest.param({"model: {scratch": "model: {scrach"}, (), {"5:9 did you mean 'scratch'?"}, id="inside-what-stages-inherit"),
        pytest.param({"  train:": "  trian:"}, (), {"16:12 did you mean ${stages.trian}?"}, id="the-name-of-a-stage"),
        pytest.param({"${stages.train}": "${stages.trian}"}, (), {"16:12 did you mean ${stages.train}?"}, id="a-reference-to-a-stage"),
        pytest.param({"${stages.train}": "${stage.train}"}, (), {"16:12 did you mean ${stages.train}?"}, id="a-reference-to-no-section"),
        pytest.param(
            {"${stages.train}": "${stages.train.out.modle}"}, (), {"16:12 did you mean ${stages.train.out.model}?"}, id="an-output"
        ),
        pytest.param({"${data.docs}": "${data.dosc}"}, (), {"9:11 did you mean ${data.docs}?"}, id="a-reference-to-data"),
        pytest.param(
            {"${stages.train}": "${stages.trian}", "learning_rate": "learning_rat"},
            (),
            {"16:12 did you mean ${stages.train}?", "12:17 did you mean 'learning_rate'?"},
            id="a-reference-and-a-key",
        ),
        pytest.param(
            {"learning_rate": "learning_rat", "width: 64": "width: 65"},
            (),
            {"12:17 did you mean 'learning_rate'?", "5:52 "},
            id="a-typo-and-a-rule",
        ),
        pytest.param({"100 steps": "100 stesp"}, (), {"13:15 did you mean `100 steps`?"}, id="a-unit"),
        pytest.param({"100 steps": "2B tokns"}, (), {"13:15 did you mean `2B tokens`?"}, id="a-unit-after-a-factor"),
        pytest.param(
            {"100 steps": "2Btokens"}, (), {"13:15 expected a number and a unit: `3 steps`, `3 epochs`, `3 tokens`"}, id="no-unit"
        ),
        pytest.param({}, ("stages.trian.batch=8",), {"1:14 did you mean stages.train?"}, id="a-stage-in-a-flag"),
        pytest.param({}, ("data.dosc.limit=8",), {"1:11 did you mean data.docs?"}, id="data-in-a-flag"),
        pytest.param({}, ("stages.train.optimzer.warmup=0",), {"1:23 did you mean 'optimizer'?"}, id="a-key-in-a-flag"),
        pytest.param({}, ("sweep.grid={stage.train.seed: [1]}",), {"1:13 did you mean 'stages'?"}, id="a-section-in-a-sweep"),
        pytest.param({}, ("sweep.grid={stages.trian.seed: [1, 2]}",), {"1:13 did you mean stages.train?"}, id="a-stage-in-a-sweep"),
        pytest.param({}, ("sweep.grid={data.dosc.limit: [1, 2]}",), {"1:13 did you mean data.docs?"}, id="data-in-a-sweep"),
        pytest.param({}, ("sweep.grid={stages.train.seeed: [1]}",), {"1:13 did you mean 'seed'?"}, id="a-key-in-a-sweep"),
        pytest.param({}, ("sweep.grid={stages.look.sampler: [lada]}",), {"1:35 did you mean 'llada'?"}, id="a-word-in-a-sweep"),
        pytest.param({}, ("sweep.gird={seed: [1]}",), {"1:7 did you mean 'grid'?"}, id="a-key-of-sweep"),
    ],
)  # fmt: skip
def test_on_a_bad_day_each_mistake_is_answered_and_nothing_that_follows(
    edits: dict[str, str], flags: tuple[str, ...], answers: set[str] | None
) -> None:
    text = BASE
    for old, new in edits.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    try:
        compile_spec(Source(file="spec.yaml", data=text.encode(), flags=flags, read_file=lambda path: b"{}\n"), Lock(Path("nowhere")))
        pytest.fail("it compiled")
    except SpecError as error:
        found = [item for item in error.diagnostics if item.severity == "error" and item.mark is not None]
    said = [f"{item.mark.line}:{item.mark.column} {item.label}" for item in found if item.mark is not None]
    if answers is None:
        assert not any("did you mean" in line and "kind" in line for line in said)
    else:
        assert sorted(said) == sorted(answers)


def test_a_key_without_a_nearest_word_is_told_alone() -> None:
    """What the map lacks may well be what the key says in a language of its own."""
    (item,) = diagnosed(BASE.replace("learning_rate", "zzz"))
    assert (item.code, item.path) == ("E102", "stages.train.optimizer.zzz")


def test_a_word_is_guessed_from_its_own_fields_only_where_the_key_is_not_one_of_them() -> None:
    """`data: data` of a data stage is a field with an odd value, not its kind."""
    text = BASE.replace("    kind: pretrain\n", "").replace("data: ${data.docs}", "data: data")
    assert [item.code for item in diagnosed(text) if item.severity == "error"] == ["E105"]


def test_data_that_a_misspelt_reference_means_is_not_called_unread() -> None:
    assert [item.code for item in diagnosed(BASE.replace("${data.docs}", "${data.dosc}"))] == ["E201"]
