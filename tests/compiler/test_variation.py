"""Points that are put together from parts are those that compile by themselves: the same plans, and the same things to say."""

from collections.abc import Callable
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.variation import Variations
from dllm_run.specs.errors import Diagnostic, SpecError

Compile = Callable[..., Compiled]
LR, BATCH, MICRO = "stages.train.optimizer.learning_rate", "stages.train.batch", "stages.train.batch.micro"
STEPS, TRAIN = "stages.solve.sampler.steps", "stages.train"
SWEEPS = {
    "one-stage": (f"{{{LR}: [1e-3, 2e-3, 3e-3], {BATCH}: [32, 64], {TRAIN}.duration: [10 steps, 20 steps]}}", 7),
    "two-stages": (f"{{{LR}: [1e-3, 2e-3], {STEPS}: [2, 4, 8]}}", 2),
    "the-seed-of-the-root": (f"{{seed: [0, 1, 2], {LR}: [1e-3, 2e-3]}}", 2),
    "the-seed-of-a-stage": (f"{{{TRAIN}.seed: [0, null], stages.solve.seed: [1, 2]}}", 1),
    "whole-words": (f"{{stages.solve.sampler: [llada, {{type: llada, steps: 4}}], {LR}: [1e-3, 2e-3]}}", 1),
    "a-list-item": (f"{{stages.solve.tasks.0.limit: [3, 5], {LR}: [1e-3, 2e-3]}}", 1),
    "schedules": (f"{{{TRAIN}.objective.schedule: [linear, cosine], {TRAIN}.objective.time_epsilon: [1e-3, 1e-2]}}", 1),
    "one-path-in-another": (f"{{{BATCH}: [32, 64], {MICRO}: [8, 16]}}", 0),
    "the-word-itself": (f"{{{TRAIN}.objective.schedule.type: [linear, cosine], {LR}: [1e-3, 2e-3]}}", 0),
    "data": (f"{{data.puzzles.limit: [10, 20], {LR}: [1e-3, 2e-3]}}", 0),
    "compute-of-all": (f"{{compute.threads: [1, 2], {LR}: [1e-3, 2e-3]}}", 0),
    "edges": (f"{{stages.solve.model: ['${{stages.train}}', {{from: '${{stages.train}}', logit_shift: 0}}], {LR}: [1e-3, 2e-3]}}", 0),
}
"""Grids, and how many of their points are put together from parts."""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the points that are put together."""
    seen = [0]
    spec_of = Variations.spec_of

    def counting(self: Variations, point: Any) -> Any:
        found = spec_of(self, point)
        seen[0] += found is not None
        return found

    monkeypatch.setattr(Variations, "spec_of", counting)
    return seen


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Variations, "spec_of", lambda self, point: None)


@pytest.mark.parametrize(("grid", "together"), SWEEPS.values(), ids=SWEEPS)
def test_the_plan_is_the_same_as_when_every_point_compiles_by_itself(
    grid: str, together: int, examples: dict[str, str], compiling: Compile, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = examples["sudoku"] + f"sweep: {{grid: {grid}}}\n"
    quick = compiling(text)
    assert counted[0] == together
    alone(monkeypatch)
    slow = compiling(text)
    assert list(quick.plan.points.items()) == list(slow.plan.points.items())
    assert {stage_id: stage.to_json() for stage_id, stage in quick.plan.stages.items()} == {
        stage_id: stage.to_json() for stage_id, stage in slow.plan.stages.items()
    }
    assert (quick.plan.run_id, quick.warnings) == (slow.plan.run_id, slow.warnings)


def test_a_value_that_is_copied_elsewhere_is_not_put_together(examples: dict[str, str], compiling: Compile, counted: list[int]) -> None:
    text = (
        examples["sudoku"]
        .replace("steps: 16", 'steps: "${stages.train.batch.micro}"')
        .replace("batch: 128", "batch: {global: 128, micro: 8}")
    )
    found = compiling(text + f"sweep: {{grid: {{{MICRO}: [8, 16], {LR}: [1e-3, 2e-3]}}}}\n")
    assert counted[0] == 0
    assert len({point.stages["solve"] for point in found.plan.points.values()}) == 4


def test_flags_and_templates_keep_points_by_themselves(examples: dict[str, str], compiling: Compile, counted: list[int]) -> None:
    grid = f"sweep: {{grid: {{{LR}: [1e-3, 2e-3], {STEPS}: [2, 4]}}}}\n"
    assert len(compiling(examples["sudoku"] + grid, f"{STEPS}=8").plan.points) == 4
    assert counted[0] == 0
    compiling(examples["sudoku"].replace("name: sudoku", 'name: "x-{{ stages.train.optimizer.learning_rate * 1000 }}"') + grid)
    assert counted[0] == 0


def test_every_case_has_its_own_parts(
    examples: dict[str, str], compiling: Compile, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = examples["sudoku"] + (
        "cases: {a: {}, b: {stages: {train: {model: {scratch: {width: 64}}}}}}\n"
        f"sweep: {{grid: {{{LR}: [1e-3, 2e-3], {BATCH}: [32, 64]}}}}\n"
    )
    quick = compiling(text).plan
    assert counted[0] == 2
    alone(monkeypatch)
    assert compiling(text).plan == quick


def diagnosed(compiling: Compile, text: str) -> tuple[Diagnostic, ...]:
    try:
        return compiling(text).warnings
    except SpecError as error:
        return error.diagnostics


@pytest.mark.parametrize(
    ("grid", "code"),
    [
        pytest.param(f"{{{BATCH}: [128, 64], {TRAIN}.objective.time_sampling: [uniform], {MICRO}x: [1]}}", "E102", id="misspelt"),
        pytest.param(f"{{{TRAIN}.duration: [100 steps, 10 steps], {TRAIN}.optimizer.warmup: [5 steps, 20 steps]}}", "E312", id="together"),
        pytest.param("{stages.solve.sampler.steps: [16, 8], stages.solve.sampler.block_size: [4, 16, 3]}", "E317", id="in-one-word"),
        pytest.param(f"{{{BATCH}.global: [32, 1], {TRAIN}.objective.time_sampling: [uniform, stratified]}}", "E430", id="inert-together"),
        pytest.param(f"{{{TRAIN}.data.max_length: [32]}}", "E205", id="into-a-reference"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_two_values_together_is_told_at_its_place(
    grid: str, code: str, examples: dict[str, str], compiling: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = examples["sudoku"].replace("steps: 16", "steps: 16, block_size: 16") + f"sweep: {{grid: {grid}}}\n"
    quick = diagnosed(compiling, text)
    alone(monkeypatch)
    slow = diagnosed(compiling, text)
    assert set(quick) == set(slow)
    if code != "E317":
        assert code in {item.code for item in quick}
