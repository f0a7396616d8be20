"""A sweep over the checkpoints of a training: it trains once, and every point evaluates the weights of its own step."""

import json
from pathlib import Path
from typing import Any

import pytest
from runtime_toys import compiled

from dllm_run.compiler.compile import Source, compile_spec
from dllm_run.compiler.lock import Lock
from dllm_run.runtime.build import module_of
from dllm_run.runtime.context import Context
from dllm_run.specs.canonical import pretty
from dllm_run.specs.errors import SpecError
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs, write_atomic

SPEC = """
version: 1
name: toy
data: {toy: {sources: [./texts.jsonl], holdout: 5 rows, max_length: 24}}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 32, heads: 2, positions: 64}, tokenizer: characters}
    data: ${data.toy}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 2e-2}
    duration: 6 steps
    checkpoint: {every: 2 steps, keep: all}
  bound:
    kind: eval
    model: {from: "${stages.train}"}
    data: ${data.toy}
    tasks: [held_out_text]
    likelihood: {estimator: elbo, samples: 4}
compute: {threads: 1}
"""
SWEEP = "sweep: {grid: {stages.bound.model.checkpoint: [step 2, step 4, step 6, last]}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"text": f"some words {index}"} for index in range(20)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def ran(plan: Plan, folder: Path) -> Runs:
    """Every stage of all points, once each."""
    runs = Runs(folder / "runs")
    for stage_id, stage in plan.stages.items():
        if not runs.entry(stage_id).done:
            context = Context(plan=plan, stage_id=stage_id, runs=runs, base=folder, attempt=runs.entry(stage_id).new_attempt())
            write_atomic(context.entry.results_file, pretty(module_of(type(stage.body)).run(context)))
            context.entry.finish()
    return runs


def bounds(plan: Plan, folder: Path) -> dict[str, float]:
    """Bits per byte by the name of the point."""
    runs = ran(plan, folder)

    def bound(stage_id: str) -> float:
        results: Any = runs.entry(stage_id).results()
        value = results["tasks"]["held_out_text"]["table"][0]["value"]
        assert isinstance(value, float)
        return value

    return {point.name: bound(point.stages["bound"]) for point in plan.points.values()}


def test_one_training_is_evaluated_at_every_checkpoint(folder: Path) -> None:
    plan = compiled(folder, SPEC + SWEEP)
    assert [stage.body.word for stage in plan.stages.values()].count("pretrain") == 1
    assert len({point.stages["bound"] for point in plan.points.values()}) == len(plan.points) == 4
    found = bounds(plan, folder)
    assert len(set(found.values())) == 3, "three steps, and the last of them under two names"
    assert found["checkpoint=step 6"] == found["checkpoint=last"]
    # What a training that ends there is worth: the learning rate is constant, so that its steps are the first of the longer one.
    for steps in (2, 4):
        shorter = compiled(folder, SPEC, f"stages.train.duration={steps} steps")
        assert bounds(shorter, folder) == {"-": found[f"checkpoint=step {steps}"]}


def test_a_checkpoint_more_evaluates_that_one_alone(folder: Path) -> None:
    before = compiled(folder, SPEC + SWEEP.replace("step 4, ", ""))
    after = compiled(folder, SPEC + SWEEP)
    assert set(before.stages) < set(after.stages) and len(after.stages) - len(before.stages) == 1


def test_an_evaluation_of_a_stage_alone_is_told_how_to_be_swept(folder: Path) -> None:
    """`${stages.train}` is no map: the cure makes it one, and then the sweep is what it was meant to be."""
    text = SPEC.replace('{from: "${stages.train}"}', "${stages.train}") + SWEEP
    with pytest.raises(SpecError) as raised:
        compiled(folder, text)
    (found,) = raised.value.diagnostics
    assert found.code == "E205" and found.fix is not None
    cured = compile_spec(Source(file="spec.yaml", data=text.encode(), flags=(found.fix,)), Lock(folder)).plan
    assert cured.stages == compiled(folder, SPEC + SWEEP).stages
