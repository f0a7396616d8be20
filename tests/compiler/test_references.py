"""References: copies are replaced, edges stay, and flags may not lead into either."""

from collections.abc import Callable
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.read import read
from dllm_run.compiler.references import resolve
from dllm_run.specs.errors import Diagnostic, SpecError

Diagnosing = Callable[..., tuple[Diagnostic, ...]]


def resolved(text: str) -> Any:
    root, found = resolve(read(text.encode(), "spec.yaml"))
    assert found == []
    return root.plain()


def codes(text: str) -> list[str]:
    return [item.code for item in resolve(read(text.encode(), "spec.yaml"))[1]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("a: 1\nb: ${a}\n", {"a": 1, "b": 1}, id="scalar"),
        pytest.param("a: {x: [1, 2]}\nb: ${a}\n", {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}}, id="map"),
        pytest.param("a: {x: [1, 2]}\nb: ${a.x.1}\n", {"a": {"x": [1, 2]}, "b": 2}, id="item-of-a-list"),
        pytest.param("a: {'1': 5}\nb: ${a.1}\n", {"a": {"1": 5}, "b": 5}, id="a-digit-may-be-a-key"),
        pytest.param("a: 1\nb: ${a}\nc: ${b}\n", {"a": 1, "b": 1, "c": 1}, id="of-a-reference"),
        pytest.param("c: ${b}\nb: ${a}\na: 1\n", {"a": 1, "b": 1, "c": 1}, id="before-it-is-written"),
        pytest.param("a: 1\nb: {x: '${a}'}\nc: ${b}\n", {"a": 1, "b": {"x": 1}, "c": {"x": 1}}, id="inside-a-copy"),
        pytest.param("b: ['${a}', '${a}']\na: 1\n", {"a": 1, "b": [1, 1]}, id="inside-a-list"),
        pytest.param("a: null\nb: ${a}\n", {"a": None, "b": None}, id="null"),
        pytest.param("m: ${stages.x}\n", {"m": "${stages.x}"}, id="edge"),
        pytest.param("m: ${stages.x.out.model}\n", {"m": "${stages.x.out.model}"}, id="edge-with-output"),
        pytest.param("m: ${stages.x}\nn: ${m}\n", {"m": "${stages.x}", "n": "${stages.x}"}, id="copy-of-an-edge"),
        pytest.param("stages: {x: {batch: 3}}\nn: ${stages.x.batch}\n", {"stages": {"x": {"batch": 3}}, "n": 3}, id="field-of-a-stage"),
        pytest.param("stages: {x: {prompts: ['a ${b} c']}}\n", {"stages": {"x": {"prompts": ["a ${b} c"]}}}, id="text-of-a-prompt"),
        pytest.param("a: '$a'\nb: '{a}'\nc: '$ {a}'\n", {"a": "$a", "b": "{a}", "c": "$ {a}"}, id="no-reference"),
    ],
)
def test_a_reference_resolves(text: str, wanted: Any) -> None:
    assert resolved(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("b: ${a}\n", ["E201"], id="missing"),
        pytest.param("a: {x: 1}\nb: ${a.y}\n", ["E201"], id="missing-inside"),
        pytest.param("a: [1]\nb: ${a.1}\n", ["E201"], id="beyond-a-list"),
        pytest.param("a: 1\nb: ${a.x}\n", ["E201"], id="inside-a-scalar"),
        pytest.param("a: ${a}\n", ["E202"], id="itself"),
        pytest.param("a: ${b}\nb: ${a}\n", ["E202", "E202"], id="each-other"),
        pytest.param("a: {x: '${a}'}\n", ["E202"], id="inside-itself"),
        pytest.param("a: 1\nb: x${a}\n", ["E204"], id="text-before"),
        pytest.param("a: 1\nb: ${a}${a}\n", ["E204"], id="two"),
        pytest.param("a: 1\nb: ${}\n", ["E204"], id="empty"),
        pytest.param("a: 1\nb: ${a\n", ["E204"], id="open"),
    ],
)
def test_a_reference_that_cannot_be_resolved_is_an_error(text: str, wanted: list[str]) -> None:
    assert codes(text) == wanted


def test_references_that_multiply_without_end_are_refused_in_time() -> None:
    text = "x0: [1, 2, 3, 4]\n" + "".join(f"x{n + 1}: [" + ", ".join(['"${x' + str(n) + '}"'] * 9) + "]\n" for n in range(30))
    with pytest.raises(SpecError) as caught:
        resolve(read(text.encode(), "spec.yaml"))
    assert [item.code for item in caught.value.diagnostics] == ["E111"]


def test_a_long_chain_of_references_is_refused_and_does_not_crash() -> None:
    text = "".join(f"x{number}: ${{x{number + 1}}}\n" for number in range(5000)) + "x5000: 1\n"
    with pytest.raises(SpecError) as caught:
        resolve(read(text.encode(), "spec.yaml"))
    assert [item.code for item in caught.value.diagnostics] == ["E110"]


def test_a_copy_keeps_the_place_where_its_value_was_written() -> None:
    root, _ = resolve(read(b"a: {x: 1}\nb: ${a}\n", "spec.yaml"))
    found = root.get(("b", "x"))
    assert found is not None and (found.mark.line, found.mark.column) == (1, 8)


def test_an_edge_makes_a_need_and_a_copy_makes_none(examples: dict[str, str], compiling: Callable[..., Compiled]) -> None:
    text = examples["sudoku"].replace(
        "    sampler: {type: llada, steps: 16}", "    sampler: {type: llada, steps: 16}\n    seed: ${stages.train.batch.global}"
    )
    plan = compiling(text.replace("batch: 128", "batch: {global: 128}")).plan
    ids = plan.points[next(iter(plan.points))].stages
    solve = plan.stages[ids["solve"]]
    assert {(need.stage, need.output) for need in solve.needs} == {(ids["train"], "model"), (ids["solve.data"], "data")}
    assert solve.body.seed == 128


@pytest.mark.parametrize(
    ("flag", "cure"),
    [
        pytest.param("stages.train.data.limit=5", "data.puzzles.limit=5", id="copy"),
        pytest.param("stages.train.data.columns.text=body", "data.puzzles.columns.text=body", id="deep"),
        pytest.param("stages.solve.model.from=./x", None, id="edge"),
    ],
)
def test_a_flag_cannot_lead_into_a_reference(flag: str, cure: str | None, examples: dict[str, str], diagnosing: Diagnosing) -> None:
    (found,) = diagnosing(examples["sudoku"], flag)
    assert (found.code, found.fix) == ("E205", cure)


def test_a_flag_changes_what_is_copied_and_with_it_every_copy(examples: dict[str, str], compiling: Callable[..., Compiled]) -> None:
    spec = compiling(examples["sudoku"], "data.puzzles.limit=5").spec
    assert [spec.stages[name].data.limit for name in ("train", "solve")] == [5, 5]  # type: ignore[attr-defined]


def test_a_flag_may_replace_a_reference(examples: dict[str, str], compiling: Callable[..., Compiled]) -> None:
    spec = compiling(examples["sudoku"], "stages.train.data={sources: [{generate: sudoku}]}").spec
    assert spec.stages["train"].data.holdout is None  # type: ignore[attr-defined]
