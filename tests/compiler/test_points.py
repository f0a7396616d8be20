"""Points of a sweep: every combination, named and identified by its values and never by its position."""

from collections.abc import Callable

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import Diagnostic

Compile = Callable[..., Compiled]
Diagnosing = Callable[..., tuple[Diagnostic, ...]]


@pytest.fixture
def swept(examples: dict[str, str], compiling: Compile) -> Callable[[str], Compiled]:
    """The sudoku example with a grid."""
    return lambda grid: compiling(examples["sudoku"] + f"sweep: {{grid: {grid}}}\n")


def names(compiled: Compiled) -> dict[str, str]:
    return {point.name: point_id for point_id, point in compiled.plan.points.items()}


def test_a_spec_without_sweep_has_one_point_without_name(examples: dict[str, str], compiling: Compile) -> None:
    assert list(names(compiling(examples["sudoku"]))) == ["-"]


@pytest.mark.parametrize("sweep", ["sweep: null\n", "sweep: {}\n", "sweep: {grid: {}}\n"])
def test_an_empty_sweep_is_none(sweep: str, examples: dict[str, str], compiling: Compile) -> None:
    assert compiling(examples["sudoku"] + sweep).plan.points == compiling(examples["sudoku"]).plan.points


@pytest.mark.parametrize(
    ("grid", "wanted"),
    [
        pytest.param("{seed: [0, 1]}", ["seed=0", "seed=1"], id="one-axis"),
        pytest.param(
            "{stages.train.optimizer.learning_rate: [1e-3, 1e-4], stages.solve.sampler.steps: [4, 8]}",
            ["learning_rate=0.001,steps=4", "learning_rate=0.001,steps=8", "learning_rate=0.0001,steps=4", "learning_rate=0.0001,steps=8"],
            id="the-first-axis-changes-slowest",
        ),
        pytest.param("{stages.train.seed: [0], stages.solve.seed: [1]}", ["train.seed=0,solve.seed=1"], id="the-shortest-ending"),
        pytest.param("{seed: [0], stages.solve.seed: [1]}", ["seed=0,solve.seed=1"], id="a-path-that-ends-another"),
        pytest.param("{stages.train.objective: [{type: mdlm}]}", ['objective={"type":"mdlm"}'], id="a-map"),
        pytest.param("{stages.train.duration: [10 steps, 20 steps]}", ["duration=10 steps", "duration=20 steps"], id="text"),
        pytest.param('{stages.solve.tasks.0.limit: [3, null]}', ["limit=3", "limit=null"], id="null"),
    ],
)  # fmt: skip
def test_a_grid_has_a_point_for_every_combination(grid: str, wanted: list[str], swept: Callable[[str], Compiled]) -> None:
    assert list(names(swept(grid))) == wanted


def test_a_value_added_anywhere_renames_no_other_point(swept: Callable[[str], Compiled]) -> None:
    before = names(swept("{seed: [0, 1], stages.solve.sampler.steps: [4, 8]}"))
    after = names(swept("{seed: [7, 0, 3, 1], stages.solve.sampler.steps: [2, 4, 8]}"))
    assert len(after) == 12
    assert before.items() <= after.items()


def test_the_order_of_axes_and_values_changes_no_id(swept: Callable[[str], Compiled]) -> None:
    one = swept("{seed: [0, 1], stages.solve.sampler.steps: [4, 8]}").plan.points
    other = swept("{stages.solve.sampler.steps: [8, 4], seed: [1, 0]}").plan.points
    assert {key: point.stages for key, point in one.items()} == {key: point.stages for key, point in other.items()}


def test_a_value_that_stands_twice_is_one_point(swept: Callable[[str], Compiled]) -> None:
    assert list(names(swept("{stages.train.batch: [32, 64, 32, 32.0]}"))) == ["batch=32", "batch=64"]


def test_a_point_has_the_id_of_its_values_whatever_the_spec_says(
    swept: Callable[[str], Compiled], examples: dict[str, str], compiling: Compile
) -> None:
    grid = "sweep: {grid: {seed: [0, 1]}}\n"
    other = examples["sudoku"].replace("batch: 128", "batch: 64") + grid
    assert names(compiling(other)) == names(swept("{seed: [0, 1]}"))


def test_a_stage_that_points_share_is_planned_once(swept: Callable[[str], Compiled]) -> None:
    plan = swept("{stages.train.optimizer.learning_rate: [1e-3, 1e-4], stages.solve.sampler.steps: [2, 4, 8]}").plan
    kinds = [stage.body.word for stage in plan.stages.values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"data": 1, "pretrain": 2, "eval": 6}
    assert len(plan.points) == 6


def test_every_stage_comes_after_those_it_needs(swept: Callable[[str], Compiled]) -> None:
    plan = swept("{stages.train.optimizer.learning_rate: [1e-3, 1e-4], stages.solve.seed: [2, 4]}").plan
    order = list(plan.stages)
    assert all(order.index(need.stage) < order.index(stage_id) for stage_id, stage in plan.stages.items() for need in stage.needs)


def test_the_base_of_a_sweep_need_not_compile_alone(examples: dict[str, str], compiling: Compile) -> None:
    text = examples["sudoku"].replace("    batch: 128\n", "") + "sweep: {grid: {stages.train.batch: [32, 64]}}\n"
    assert list(names(compiling(text))) == ["batch=32", "batch=64"]


def test_a_name_with_a_line_end_is_shown_with_its_escapes(swept: Callable[[str], Compiled]) -> None:
    (name,) = names(
        swept(
            '{stages.train.data: [{sources: [{generate: sudoku}], columns: {text: "text"}}], stages.train.model.tokenizer: ["characters"]}'
        )
    )
    assert "\n" not in name
    compiled = swept('{stages.solve.tasks.0.name: ["sudoku", "a\\nrm -rf ~"]}')
    assert all(point.isprintable() for point in names(compiled))


@pytest.mark.parametrize(
    ("grid", "code", "column"),
    [
        pytest.param("{stages.train.batch: [32, many]}", "E104", 41, id="wrong-type"),
        pytest.param("{stages.train.model.scratch.layers: [4, 0, 2]}", "E106", 55, id="out-of-bounds"),
        pytest.param("{stages.train.objective: [mdlm, mdml]}", "E103", 47, id="misspelt-word"),
        pytest.param("{stages.train.bach: [1, 2]}", "E102", 16, id="misspelt-path"),
        pytest.param("{stages.solve.model: ['${stages.train}', '${stages.trian}']}", "E201", 56, id="edge"),
        pytest.param("{stages.train.batch: [{global: 32, micro: 8}, {global: 32, micro: 7}]}", "E311", 70, id="rule"),
    ],
)
def test_an_error_of_a_point_is_told_once_and_points_to_the_grid(
    grid: str, code: str, column: int, examples: dict[str, str], diagnosing: Diagnosing
) -> None:
    text = examples["sudoku"] + f"sweep: {{grid: {grid}}}\n"
    (found,) = [item for item in diagnosing(text) if item.severity == "error"]
    assert found.code == code
    assert found.mark is not None and found.mark.source.startswith("sweep:")
    assert found.mark.column == column


def test_an_error_that_all_points_share_is_told_once(examples: dict[str, str], diagnosing: Diagnosing) -> None:
    text = examples["sudoku"].replace("batch: 128", "batch: many") + "sweep: {grid: {seed: [0, 1, 2]}}\n"
    assert [item.code for item in diagnosing(text)] == ["E104"]
