"""Laws of the language: how a spec is written never matters, what it refers to may be written out, and where overlays associate."""

import dataclasses
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.node import Node
from dllm_run.compiler.overlay import merge
from dllm_run.compiler.read import read
from dllm_run.specs.canonical import pretty
from dllm_run.specs.codec import encode
from dllm_run.specs.errors import Mark
from dllm_run.specs.field import Shape, fields_of
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.vocabulary.launchers import Launch
from dllm_run.specs.vocabulary.samplers import Sampler
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.word import Word, is_family, members

Compile = Callable[..., Compiled]
ROOT = Path(__file__).parents[2]
TEXTS = {
    f"{file.parent.name}/{file.stem}": file.read_text(encoding="utf-8")
    for folder in ("specs/recipes", "tests/data", "tests/data/specs")
    for file in sorted((ROOT / folder).glob("*.yaml"))
}


def ids_of(compiled: Compiled) -> dict[str, str]:
    (point,) = compiled.plan.points.values()
    return point.stages


def plan_bytes(compiled: Compiled) -> str:
    return pretty(compiled.plan.to_json())


# --- writing


def styled(rng: random.Random, value: Any, indent: int) -> str:
    """What follows `key:` or `-` for a value, in a random style: block or flow, quoted or plain, with comments and keys in any order."""
    if isinstance(value, dict) and value and rng.random() < 0.7:
        items = list(value.items())
        rng.shuffle(items)
        entries = (f"{quoted(rng, key)}:{styled(rng, child, indent + 2)}" for key, child in items)
        return "\n" + "".join(line(rng, indent, entry) for entry in entries).rstrip("\n")
    if isinstance(value, list) and value and rng.random() < 0.5:
        return "\n" + "".join(line(rng, indent, f"-{styled(rng, child, indent + 2)}") for child in value).rstrip("\n")
    return " " + flow(rng, value)


def line(rng: random.Random, indent: int, text: str) -> str:
    comment = " " * rng.randint(0, 9) + "# a comment: {with} 'odd' [signs\n" if rng.random() < 0.2 else ""
    blank = "\n" if rng.random() < 0.1 else ""
    return f"{comment}{blank}{' ' * indent}{text}{'   # and more' if rng.random() < 0.1 else ''}\n"


def flow(rng: random.Random, value: Any) -> str:
    space = rng.choice(["", " ", "\n" + " " * 40])
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return "{" + space + ", ".join(f"{quoted(rng, key)}: {flow(rng, child)}" for key, child in items) + space + "}"
    if isinstance(value, list):
        return "[" + space + ", ".join(flow(rng, child) for child in value) + space + "]"
    return quoted(rng, value) if isinstance(value, str) else json.dumps(value)


def quoted(rng: random.Random, text: str) -> str:
    plain = text.replace("_", "a").isalpha() and text not in ("null", "true", "false")
    single = "'" + text.replace("'", "''") + "'"
    return rng.choice([text, single, json.dumps(text)]) if plain else rng.choice([single, json.dumps(text)])


def restyled(rng: random.Random, text: str) -> str:
    """The same spec in other clothes; stages stay in their order, which is that of the table that people read."""
    plain = read(text.encode(), "x").plain()
    keys = list(plain)
    rng.shuffle(keys)
    stages = "\n" + "".join(f"  {name}:{styled(rng, stage, 4)}\n" for name, stage in plain["stages"].items())
    return "".join(f"{key}:{stages if key == 'stages' else styled(rng, plain[key], 2)}\n" for key in keys)


@pytest.mark.parametrize("name", TEXTS)
def test_order_of_keys_comments_and_style_never_change_a_plan(name: str, complete: str, compiling: Compile) -> None:
    rng = random.Random(name)
    before = compiling(TEXTS[name])
    for _ in range(8):
        text = restyled(rng, TEXTS[name])
        assert read(text.encode(), "x").plain() == read(TEXTS[name].encode(), "x").plain()
        assert plan_bytes(compiling(text)) == plan_bytes(before)


@pytest.mark.parametrize("name", TEXTS)
def test_the_resolved_spec_compiles_to_the_same_stages_and_resolves_to_itself(name: str, complete: str, compiling: Compile) -> None:
    """As `compile -o` writes it: shorthands, references, the sections of the top and defaults are all written out."""
    once = compiling(TEXTS[name])
    resolved = pretty(encode(once.spec, planned=False))
    again = compiling(resolved)
    assert ids_of(again) == ids_of(once)
    assert pretty(encode(again.spec, planned=False)) == resolved


# --- references


def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, str(key)), child
        yield from places(child, (*path, str(key)))


def with_value(value: Any, path: tuple[str, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {**value, path[0]: with_value(value[path[0]], path[1:], new)}
    index = int(path[0])
    return [*value[:index], with_value(value[index], path[1:], new), *value[index + 1 :]]


def copies(spec: Any) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Two places with one value, where the first can be a copy of the second: the word of a map must be written."""
    found = list(places(spec))
    return [
        (to, of)
        for to, value in found
        for of, other in found
        if to[: len(of)] != of and of[: len(to)] != to and type(value) is type(other) and value == other
        and to[-1] not in ("kind", "type", "family", "version", "generate") and "prompts" not in to[-2:] and len(of) > 1
        and of[-1] != "batch"  # written short: there stands a map
        and to[0] != "sweep"  # its values go where copies may come from
        and "${" not in str(value)
    ]  # fmt: skip


def test_a_value_may_be_written_out_or_copied_from_where_it_stands(complete: str, compiling: Compile) -> None:
    spec = read(complete.encode(), "x").plain()
    before = compiling(complete)
    tried = random.Random(0).sample(copies(spec), 60)
    for to, of in tried:
        copied = with_value(spec, to, f"${{{'.'.join(of)}}}")
        assert plan_bytes(compiling(json.dumps(copied))) == plan_bytes(before), (to, of)
    assert len({to for to, _ in tried}) > 20


@pytest.mark.parametrize("name", TEXTS)
def test_a_reference_to_data_may_be_written_out(name: str, complete: str, compiling: Compile) -> None:
    spec = read(TEXTS[name].encode(), "x").plain()
    written = spec
    for path, value in list(places(spec)):
        if isinstance(value, str) and value.startswith("${data."):
            written = with_value(written, path, spec["data"][value[7:-1]])
    assert "${data." not in json.dumps(written)
    assert plan_bytes(compiling(json.dumps(written))) == plan_bytes(compiling(TEXTS[name]))


# --- overlays


def node(value: Any) -> Node:
    return read(json.dumps(value).encode(), "x")


def over(*layers: Any) -> Any:
    """Every layer on top of those before it."""
    done = node(layers[0])
    for layer in layers[1:]:
        done = merge(done, node(layer))
    return done.plain()


def overlays(*, nulls: bool) -> st.SearchStrategy[Any]:
    """Layers that agree on which keys are maps and that name no word: `a`, `b`, `c` hold leaves, `m` and `n` maps."""
    leaf = st.sampled_from([1, 2, "x", [1], [], False, *([None] if nulls else [])])
    leaves: dict[str, st.SearchStrategy[Any]] = {"a": leaf, "b": leaf, "c": leaf}
    inner = st.fixed_dictionaries({}, optional={**leaves, "m": st.fixed_dictionaries({}, optional=dict(leaves))})
    return st.fixed_dictionaries({}, optional={**leaves, "m": inner, "n": inner})


@given(overlays(nulls=False), overlays(nulls=True), overlays(nulls=False))
@settings(derandomize=True, deadline=None, max_examples=200, database=None)
def test_layers_of_one_shape_can_be_merged_in_any_grouping_where_the_last_deletes_nothing(base: Any, middle: Any, last: Any) -> None:
    assert merge(node(base), merge(node(middle), node(last))).plain() == over(base, middle, last)


@pytest.mark.parametrize(
    ("base", "middle", "last"),
    [
        pytest.param({"a": 1}, {}, {"a": None}, id="a-null-that-met-nothing-deletes-nothing-later"),
        pytest.param({"m": {"a": 1}}, {"m": 2}, {"m": {"b": 3}}, id="a-map-over-a-leaf-forgets-that-it-replaced"),
        pytest.param({"m": {"a": 1}}, {"m": None}, {"m": {"b": 3}}, id="a-map-over-a-null-forgets-that-it-deleted"),
        pytest.param({"type": "p", "a": 1}, {"type": "q"}, {"type": "p"}, id="a-word-that-comes-back-forgets-that-it-was-away"),
    ],
)
def test_other_layers_are_merged_from_the_bottom_up(base: Any, middle: Any, last: Any) -> None:
    """Why overlays are applied one after the other and never merged among themselves first."""
    assert merge(node(base), merge(node(middle), node(last))).plain() != over(base, middle, last)


ANY = st.recursive(
    st.sampled_from([None, 1, "x", "y", True]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "type", "kind"]), inner, max_size=3),
    max_leaves=10,
)
A_MAP = st.dictionaries(st.sampled_from(["a", "b", "type", "kind"]), ANY, max_size=4)


def holds_null(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and any(holds_null(child) for child in value.values()))


@given(A_MAP, A_MAP)
@settings(derandomize=True, deadline=None, max_examples=200, database=None)
def test_whatever_the_base_a_layer_twice_is_the_layer_once(base: Any, layer: Any) -> None:
    assert over(base, layer, layer) == over(base, layer)


@given(A_MAP, A_MAP)
@settings(derandomize=True, deadline=None, max_examples=200, database=None)
def test_a_layer_leaves_what_it_does_not_name_and_says_what_it_names(base: Any, layer: Any) -> None:
    done, renamed = over(base, layer), any(
        isinstance(base.get(tag), str) and isinstance(layer.get(tag), str) and base[tag] != layer[tag] for tag in ("type", "kind")
    )  # fmt: skip
    for key in base.keys() - layer.keys():
        assert (key not in done) if renamed else done[key] == base[key]
    for key, value in layer.items():
        assert (key in done) is (value is not None)
        if value is not None and not isinstance(value, dict):
            assert done[key] == value


@given(A_MAP.filter(lambda value: not holds_null(value)))
@settings(derandomize=True, deadline=None, database=None)
def test_a_layer_without_nulls_on_nothing_or_on_itself_is_itself(layer: Any) -> None:
    assert over({}, layer) == layer
    assert over(layer, layer) == layer
    assert merge(None, Node(node(layer).value, Mark("x", 1, 1))).plain() == layer


# --- effects


def classes_below(shape: Shape) -> Iterator[type]:
    for inner in (shape.items, shape.values):
        if inner is not None:
            yield from classes_below(inner)
    if shape.cls is not None:
        found = list(members(shape.cls).values()) if issubclass(shape.cls, Word) and is_family(shape.cls) else [shape.cls]
        for cls in found:
            yield cls
            for info in fields_of(cls):
                yield from classes_below(info.shape)


def owner(cls: type, field: str) -> str:
    """The class that says what a field is: what samplers and launchers have from a base is the same of all of them."""
    if not issubclass(cls, Sampler | Launch):
        return cls.__name__
    return next(base.__name__ for base in cls.__mro__ if field in vars(base).get("__annotations__", {}))


def test_the_complete_spec_gives_a_value_to_every_field_that_a_stage_can_have(complete: str, compiling: Compile) -> None:
    """So that what is tested of every leaf of its stages is tested of every field of the vocabulary."""
    given_: set[tuple[str, str]] = set()

    def walk(value: Any) -> None:
        if isinstance(value, (list, tuple)):
            for item in value:
                walk(item)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type) and "leaf" in str(dataclasses.fields(value)[:1]):
            for info in fields_of(type(value)):
                inner = getattr(value, info.name)
                if inner is not None and inner != () and inner != {}:
                    given_.add((owner(type(value), info.name), info.key))
                walk(inner)

    for stage in compiling(complete).plan.stages.values():
        walk(stage.body)
    all_ = {(owner(cls, info.name), info.key) for cls in classes_below(Shape(cls=Stage)) for info in fields_of(cls)}
    # Of the families of models one stands for the others: what a field of them does is the same in all.
    all_ -= {(cls, key) for cls, key in all_ if cls in {family.__name__ for family in members(Family).values()} - {"Llama"}}
    # Three draw no random numbers, so that their plans hold no seed; the last are fields that a pre-training has.
    assert all_ - given_ == {("DataStage", "seed"), ("TokenizerStage", "seed"), ("Merge", "seed"), ("Sft", "evaluate"), ("Sft", "ema")}
