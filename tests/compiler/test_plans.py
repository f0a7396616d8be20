"""Plans of the examples, byte for byte. A change here changes ids that users have results under: it must be meant."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.canonical import pretty
from dllm_run.specs.plan import Plan

Compile = Callable[..., Compiled]


@pytest.fixture
def plan(request: pytest.FixtureRequest, examples: dict[str, str], compiling: Compile, tmp_path: Path) -> Plan:
    """The plan of an example, over a text that is the same in every Python."""
    (tmp_path / "docs.txt").write_text("The import statement combines two operations.\n", encoding="utf-8")
    return compiling(examples[request.param].replace("package:pydoc_data/topics", "./docs.txt")).plan


@pytest.mark.parametrize(
    ("plan", "name"), [("quickstart", "quickstart"), ("sudoku", "sudoku")], indirect=["plan"], ids=["quickstart", "sudoku"]
)
def test_the_plan_of_an_example_is_the_golden_one(plan: Plan, name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"plans/{name}.json", pretty(plan.to_json()))


@pytest.mark.parametrize("plan", ["quickstart", "sudoku"], indirect=True)
def test_a_plan_is_complete(plan: Plan) -> None:
    """Nothing is left for the runtime to fill in that the compiler knows: device, micro batch, geometry."""
    for stage in plan.to_json()["stages"].values():
        body = stage["body"]
        assert body["compute"]["device"] == "cpu"
        if body["kind"] == "pretrain":
            assert body["batch"]["micro"] == body["batch"]["global"]
            assert body["model"]["scratch"]["heads"] is not None and body["model"]["scratch"]["mlp"] is not None


@pytest.mark.parametrize("plan", ["quickstart", "sudoku"], indirect=True)
def test_a_plan_refers_to_ids_only(plan: Plan) -> None:
    text = json.dumps(plan.to_json()["stages"])
    assert "${" not in text
    assert {need["stage"] for stage in plan.to_json()["stages"].values() for need in stage["needs"]} <= set(plan.stages)


@pytest.mark.parametrize("plan", ["quickstart"], indirect=True)
def test_a_stage_is_named_as_the_user_named_it_and_its_data_after_the_stage_that_reads_them_first(plan: Plan) -> None:
    assert [plan.name_of(stage_id) for stage_id in plan.stages] == ["train.data", "train", "bound", "look"]


def test_a_plan_of_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="not a plan of schema dllm-run/plan/1: 'dllm-run/plan/9'"):
        Plan.from_json({"schema": "dllm-run/plan/9"})


def test_data_with_the_tokenizer_of_another_model_are_another_stage(examples: dict[str, str], compiling: Compile) -> None:
    two = compiling(examples["sudoku"], "stages.solve.model={scratch: {family: llama, layers: 1, width: 64}, tokenizer: bytes}").plan
    assert [stage.body.word for stage in two.stages.values()].count("data") == 2


def test_data_are_prepared_for_the_tokenizer_of_the_models_origin_and_not_for_its_weights(complete: str, compiling: Compile) -> None:
    plan = compiling(complete).plan
    ids = next(iter(plan.points.values())).stages
    assert [need.stage for need in plan.stages[ids["tune.data"]].needs] == [ids["words"]]
