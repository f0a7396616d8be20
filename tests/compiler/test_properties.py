"""Any spec at all, right or wrong, compiles or gives diagnostics; and compiling is a function."""

import copy
import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.lock import Lock
from dllm_run.compiler.read import read
from dllm_run.compiler.render import as_json, render
from dllm_run.launchers import local, slurm
from dllm_run.specs.canonical import pretty
from dllm_run.specs.errors import SpecError
from dllm_run.specs.field import FieldInfo, Shape, fields_of
from dllm_run.specs.plan import Plan
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import Word, is_family, members

NOWHERE = Path(__file__).parent / "no such folder"
NAMES = st.sampled_from(["a", "b", "train", "1"])
REFERENCES = st.sampled_from(
    ["${stages.a}", "${stages.b}", "${stages.a.out.model}", "${data.a}", "${data.b.limit}", "${model}", "${compute}", "${stages.a.batch}",
     "${stages.train.data}", "${a}", "x ${data.a}", "${"]
)  # fmt: skip
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6) | REFERENCES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def scalar(info: FieldInfo, kind: type) -> st.SearchStrategy[Any]:
    leaf = info.leaf
    if leaf.choices:
        return st.sampled_from(leaf.choices)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(int(leaf.minimum or 0), int(leaf.maximum or max(64, leaf.minimum or 0)))
    if kind is float:
        return st.sampled_from([0.001, 0.1, 0.5])
    if kind is Quantity:
        amounts = [0.1 if unit == "fraction" else f"{number} {unit}" for unit in leaf.units for number in (1, 50)]
        return st.sampled_from(amounts)
    return st.sampled_from(["a", "./a.txt", "org/name", "package:json/decoder", "1:00", "8G", "./none/*.jsonl"])


def value(info: FieldInfo, shape: Shape, depth: int) -> st.SearchStrategy[Any]:
    """A value of a field: mostly right, sometimes anything."""
    options: list[st.SearchStrategy[Any]] = [scalar(info, kind) for kind in shape.scalars]
    if shape.nullable:
        options.append(st.none())
    if shape.edge:
        options.append(REFERENCES)
    if shape.cls is not None and depth > 0:
        options.append(a_map(shape.cls, depth - 1))
        if issubclass(shape.cls, Word) and is_family(shape.cls):
            options.append(st.sampled_from(list(members(shape.cls))))
    if shape.items is not None:
        options.append(st.lists(value(info, shape.items, depth), max_size=2))
    if shape.values is not None:
        options.append(st.dictionaries(NAMES, value(info, shape.values, depth), min_size=1, max_size=3))
    right = st.one_of(options) if options else JUNK
    return st.integers(0, 24).flatmap(lambda number: JUNK if number == 0 else REFERENCES if number == 1 else right)


@functools.cache
def a_map(cls: type, depth: int) -> st.SearchStrategy[Any]:
    if issubclass(cls, Word) and is_family(cls):
        return st.one_of([a_map(word, depth) for word in members(cls).values()])
    infos = fields_of(cls)
    required = {info.key: value(info, info.shape, depth) for info in infos if info.required}
    optional = {info.key: value(info, info.shape, depth) for info in infos if not info.required}
    if issubclass(cls, Word):
        required[cls.tag] = st.just(cls.word)
    return st.fixed_dictionaries(required, optional={**optional, "bogus": JUNK})


WILD = a_map(Spec, 3)
COMPLETE = read((Path(__file__).parents[1] / "data" / "complete.yaml").read_bytes(), "complete").plain()
SUDOKU = read((Path(__file__).parents[1] / "data" / "specs" / "sudoku.yaml").read_bytes(), "sudoku").plain()


def places(spec: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, child in spec.items() if isinstance(spec, dict) else enumerate(spec) if isinstance(spec, list) else ():
        yield (*path, key)
        yield from places(child, (*path, key))


def at(spec: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        spec = spec[key]
    return spec


@st.composite
def edited(draw: st.DrawFn) -> Any:
    """A spec that compiles, with up to three values replaced by anything, by a value from elsewhere in it, or by nothing."""
    spec = copy.deepcopy(draw(st.sampled_from([COMPLETE, SUDOKU])))
    paths = list(places(spec))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(paths))
        elsewhere = at(spec, draw(st.sampled_from(paths)))
        new = draw(st.one_of(JUNK, st.just(elsewhere), st.sampled_from([0.5, 1, 2, 64, "3 steps", "bytes"]), REFERENCES))
        if draw(st.booleans()):
            spec = replaced(spec, path, copy.deepcopy(new))
            paths = list(places(spec))
    names = st.sampled_from([".".join(map(str, path)) for path in paths] or ["seed"])
    grid = draw(st.none() | st.dictionaries(names, st.lists(JUNK, max_size=2) | JUNK, max_size=2))
    return spec if grid is None else {**spec, "sweep": {"grid": grid}}


def replaced(spec: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(spec, dict):
        return {key: replaced(child, path[1:], new) if key == path[0] else child for key, child in spec.items()}
    return [replaced(child, path[1:], new) if index == path[0] else child for index, child in enumerate(spec)]


PATHS = st.sampled_from(
    ["seed", "stages.train.batch", "stages.train", "data", "model.from", "compute.device", "launch", "stages", "a.b", "data.docs.sources.0"]
)
FLAGS = st.lists(st.builds(lambda path, item: f"{path}={json.dumps(item)}", PATHS, JUNK), max_size=1)


def compiled(spec: Any, flags: list[str]) -> Compiled | SpecError:
    source = Source(file="spec.yaml", data=json.dumps(spec).encode("utf-8", "surrogatepass"), flags=tuple(flags))
    try:
        return compile_spec(source, Lock(NOWHERE))
    except SpecError as error:
        return error


def check(spec: Any, flags: list[str]) -> type:
    """What the property says of one spec. Returns how it ended."""
    found = compiled(spec, flags)
    if isinstance(found, SpecError):
        assert any(item.severity == "error" for item in found.diagnostics)
        assert render(found.diagnostics)
        json.dumps(as_json(found.diagnostics))
        return SpecError
    again = compiled(spec, flags)
    assert isinstance(again, Compiled)
    text = pretty(found.plan.to_json())
    assert pretty(again.plan.to_json()) == text
    assert pretty(Plan.loads(text).to_json()) == text
    for script in [*slurm.render(found.plan).values(), *local.render(found.plan).values()]:
        assert script.startswith("#!")
    return Compiled


def test_a_spec_with_odd_values_compiles_or_gives_diagnostics() -> None:
    ends = Counter[type]()

    @given(edited(), FLAGS)
    @settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), database=None)
    def odd(spec: Any, flags: list[str]) -> None:
        ends[check(spec, flags)] += 1

    odd()
    # A property that only saw broken specs would prove nothing of those that compile.
    assert ends[Compiled] > 10 and ends[SpecError] > 10


@given(WILD, FLAGS)
@settings(derandomize=True, deadline=None, max_examples=50, suppress_health_check=list(HealthCheck), database=None)
def test_a_spec_made_of_nothing_but_words_compiles_or_gives_diagnostics(spec: Any, flags: list[str]) -> None:
    check({**spec, "version": 1, "name": "x"}, flags)


@given(JUNK)
@settings(derandomize=True, deadline=None, max_examples=100, database=None)
def test_anything_that_is_no_spec_gives_diagnostics(junk: Any) -> None:
    assert isinstance(compiled(junk, []), SpecError)
