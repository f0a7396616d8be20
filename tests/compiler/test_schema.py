"""The schemas: the resolved one and the decoder are one language, the editor's one accepts what users write."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import dllm_run.specs
from dllm_run.cli.specs import recipes
from dllm_run.compiler.check import tree_path
from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.node import Node
from dllm_run.compiler.read import read
from dllm_run.compiler.schema import editor_schema, editor_schema_text, resolved_schema
from dllm_run.specs.codec import DecodeError, decode, encode
from dllm_run.specs.field import fields_of
from dllm_run.specs.parts import parts
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.word import Word, family_name, members

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 7.5, 0.5, 0.0, 1.0, -0.5, 2.0, 1e300, "", "word", "3 steps", "0.5 steps", "1 step", "3steps", "3 rows",
    "2 epochs", "2B tokens", "2 B tokens", "-1 steps", "12:30", "64G", "${stages.train}", "${stages.train.out.model}", "${data.docs}",
    "a\n", [], ["a"], [1], [None], {}, {"type": "mdlm"}, {"type": "linear"}, {"zzz": 1}, {"stage": "train", "output": "model"},
]  # fmt: skip
"""What every leaf is replaced by: every type, both sides of every bound, words of other fields."""


@pytest.fixture
def plain(complete: str, compiling: Callable[..., Compiled]) -> Any:
    """The complete spec as the schema sees it: resolved, its edges as users write them."""
    return compiling(complete).root.plain()


@pytest.fixture
def encoded(complete: str, compiling: Callable[..., Compiled]) -> Any:
    """The complete spec with every default written out."""
    return encode(compiling(complete).spec)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below this one, maps and lists too."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    new = copy.deepcopy(value)
    holder = new
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return new


def put(new: Any) -> Callable[[Any, Any], None]:
    def change(holder: Any, key: Any) -> None:
        holder[key] = new

    return change


def remove(holder: Any, key: Any) -> None:
    del holder[key]


def add_unknown(holder: Any, key: Any) -> None:
    if isinstance(holder[key], dict):
        holder[key]["unknown_key"] = 1


def decodes(cls: type, value: Any) -> bool:
    try:
        decode(cls, value)
    except DecodeError:
        return False
    return True


def test_the_complete_spec_uses_every_kind_of_stage(plain: Any) -> None:
    assert {stage["kind"] for stage in plain["stages"].values()} == set(members(Stage))


def declared(cls: type) -> type:
    """The class that a field would declare for an object of this class: for a word, the base of its family."""
    families = [base for base in cls.__mro__ if issubclass(base, Word) and base is not Word and not base.word]
    return families[-1] if families else cls


def test_decoder_and_schema_refuse_the_same_values(complete: str, compiling: Callable[..., Compiled]) -> None:
    compiled = compiling(complete)
    whole = resolved_schema()
    disagree = []
    seen = set()
    for path, value, _ in parts(compiled.spec):
        node = compiled.root.get(tree_path(compiled.root, path))
        if not isinstance(node, Node) or not isinstance(node.value, dict) or type(value) is dict or (type(value), *node.value) in seen:
            continue
        seen.add((type(value), *node.value))
        cls, plain = declared(type(value)), node.plain()
        required = {info.key for info in fields_of(type(value)) if info.required}
        name = f"{family_name(cls)}.any" if issubclass(cls, Word) else cls.__name__
        schema = Draft202012Validator({**whole["$defs"].get(name, whole), "$defs": whole["$defs"]})
        assert schema.is_valid(plain) and decodes(cls, plain), path
        for below in places(plain):
            if len(below) > 1 and not (len(below) == 2 and isinstance(below[-1], int)):
                continue  # a field of another class has its own turn
            small = {key: item for key, item in plain.items() if key in (below[0], *required) or not isinstance(item, (dict, list))}
            if type(value) is Spec and below[0] != "stages":
                small["stages"] = {}
            for change in [*(put(value) for value in VALUES), remove, add_unknown]:
                new = changed(small, below, change)
                if schema.is_valid(new) != decodes(cls, new):
                    disagree.append((path, new))
    assert len(seen) > 25
    assert disagree == []


def test_decoding_what_was_encoded_gives_the_same_object(complete: str, compiling: Callable[..., Compiled], encoded: Any) -> None:
    spec = compiling(complete).spec
    assert decode(Spec, encoded, planned=True) == spec
    assert decode(Spec, json.loads(json.dumps(encoded)), planned=True) == spec


@pytest.mark.parametrize("schema", [resolved_schema(), editor_schema()], ids=["resolved", "editor"])
def test_a_schema_is_valid_2020_12(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", ["quickstart", "sudoku"])
def test_the_editor_schema_accepts_the_examples(name: str, examples: dict[str, str]) -> None:
    errors = list(Draft202012Validator(editor_schema()).iter_errors(read(examples[name].encode(), name).plain()))
    assert [(list(error.absolute_path), error.message) for error in errors] == []


def test_the_editor_schema_accepts_the_complete_spec_as_written(complete: str) -> None:
    errors = list(Draft202012Validator(editor_schema()).iter_errors(read(complete.encode(), "complete").plain()))
    assert [(list(error.absolute_path), error.message) for error in errors] == []


def test_the_schema_beside_the_recipes_is_current(current: Callable[[str, str], None]) -> None:
    current("specs/recipes/schema.json", editor_schema_text())


@pytest.mark.parametrize("recipe", recipes().values(), ids=recipes())
def test_a_recipe_names_the_schema_and_the_schema_accepts_it(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    named = (recipe.parent / first.partition("=")[2]).resolve()
    assert named == Path(dllm_run.specs.__file__).parent.resolve() / "recipes" / "schema.json"
    schema = json.loads(named.read_text(encoding="utf-8"))
    errors = list(Draft202012Validator(schema).iter_errors(read(text.encode(), recipe.name).plain()))
    assert [(list(error.absolute_path), error.message) for error in errors] == []


def test_an_editor_has_a_description_for_every_word() -> None:
    def descriptions(schema: Any) -> Iterator[tuple[list[str], list[str]]]:
        if isinstance(schema, dict):
            if "enumDescriptions" in schema:
                yield schema["enum"], schema["enumDescriptions"]
            for child in schema.values():
                yield from descriptions(child)
        elif isinstance(schema, list):
            for child in schema:
                yield from descriptions(child)

    found = list(descriptions(editor_schema()))
    assert {word for words, _ in found for word in words} >= {"mdlm", "llada", "pretrain", "bytes", "slurm", "cosine"}
    assert all(len(words) == len(texts) and all(text.endswith(".") for text in texts) for words, texts in found)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("version: 1\nname: x\nstages: {a: {kind: pretrian}}\n", id="kind"),
        pytest.param("version: 1\nname: x\nstages: {a: {kind: pretrain, objective: mdml}}\n", id="word"),
        pytest.param("version: 1\nname: x\nstages: {a: {kind: pretrain, bach: 3}}\n", id="key"),
        pytest.param("version: 1\nname: x\ncompute: {device: gpu}\n", id="enum"),
        pytest.param("version: 1\nname: x\nstages: {a: {kind: pretrain, duration: 3}}\n", id="type"),
        pytest.param("version: 1\nname: x\nsweep: {gird: {}}\n", id="sweep"),
    ],
)
def test_the_editor_schema_underlines_mistakes(text: str) -> None:
    assert not Draft202012Validator(editor_schema()).is_valid(read(text.encode(), "x").plain())


def test_the_editor_schema_requires_nothing_but_a_word() -> None:
    def required(schema: Any) -> Iterator[list[str]]:
        if isinstance(schema, dict):
            if "required" in schema:
                yield schema["required"]
            for child in schema.values():
                yield from required(child)
        elif isinstance(schema, list):
            for child in schema:
                yield from required(child)

    assert {key for keys in required(editor_schema()) for key in keys} <= {"type", "kind", "family", "estimator"}


@pytest.mark.parametrize("schema", [resolved_schema(), editor_schema()], ids=["resolved", "editor"])
def test_every_property_is_described(schema: dict[str, Any]) -> None:
    bare = [
        (name, key)
        for name, definition in schema["$defs"].items()
        for key, form in definition["properties"].items()
        if "description" not in form
    ]
    assert bare == []


def test_every_leaf_says_what_changing_it_does() -> None:
    effects = {
        (name, key): form.get("x-effect")
        for name, definition in resolved_schema()["$defs"].items()
        for key, form in definition["properties"].items()
    }
    assert effects[("Batch", "micro")] == "numerics"
    assert effects[("Optimizer", "learning_rate")] == "result"
    assert effects[("Spec", "name")] == "none"
