"""Cases, zips, random draws and exclusions: which points there are, how they are called, what identifies them."""

import math
from collections.abc import Callable

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.vocabulary.training import Training

Compile = Callable[..., Compiled]


@pytest.fixture
def made(examples: dict[str, str], compiling: Compile) -> Callable[[str], Compiled]:
    """The sudoku example with more at its end."""
    return lambda more: compiling(examples["sudoku"] + more)


def names(compiled: Compiled) -> list[str]:
    return [point.name for point in compiled.plan.points.values()]


def point_ids(compiled: Compiled) -> dict[str, str]:
    return {point.name: point_id for point_id, point in compiled.plan.points.items()}


def test_cases_are_crossed_with_the_sweep_cases_first(made: Callable[[str], Compiled]) -> None:
    found = made("cases: {small: {}, wide: {stages: {train: {model: {scratch: {width: 64}}}}}}\nsweep: {grid: {seed: [0, 1]}}\n")
    assert names(found) == ["small,seed=0", "small,seed=1", "wide,seed=0", "wide,seed=1"]
    assert [(point.case, point.values) for point in found.plan.points.values()][2] == ("wide", {"seed": 0})


def test_an_empty_case_is_the_spec_itself(made: Callable[[str], Compiled]) -> None:
    (plain,) = made("").plan.points.values()
    cased = {point.name: point.stages for point in made("cases: {base: {}, other: {seed: 9}}\n").plan.points.values()}
    assert cased["base"] == plain.stages
    assert cased["other"] != plain.stages


def test_a_case_lies_over_the_spec_as_a_file_would(made: Callable[[str], Compiled]) -> None:
    found = made("cases: {a: {stages: {train: {objective: {schedule: cosine}, batch: 64}, solve: null}}}\n")
    (point,) = found.plan.points.values()
    assert set(point.stages) == {"train", "train.data"}
    body = found.plan.stages[point.stages["train"]].body
    assert isinstance(body, Training)
    assert (body.objective.schedule.word, body.batch.global_) == ("cosine", 64)  # type: ignore[attr-defined]


def test_a_case_added_or_renamed_renames_no_other_point(made: Callable[[str], Compiled]) -> None:
    before = point_ids(made("cases: {a: {seed: 1}, b: {seed: 2}}\n"))
    after = point_ids(made("cases: {z: {seed: 3}, b: {seed: 2}, a: {seed: 1}}\n"))
    assert before.items() <= after.items()
    # An id is that of the overlay: the same case under another name, or the same value as an axis, is the same point.
    assert point_ids(made("cases: {renamed: {seed: 1}}\n"))["renamed"] == before["a"]
    assert point_ids(made("sweep: {grid: {seed: [1]}}\n"))["seed=1"] == before["a"]


def test_an_axis_goes_over_a_case(made: Callable[[str], Compiled]) -> None:
    found = made("cases: {a: {seed: 5}}\nsweep: {grid: {seed: [1]}}\n")
    alone = made("sweep: {grid: {seed: [1]}}\n")
    assert [point.stages for point in found.plan.points.values()] == [point.stages for point in alone.plan.points.values()]


def test_a_zip_takes_values_together(made: Callable[[str], Compiled]) -> None:
    found = made("sweep: {grid: {seed: [0, 1]}, zip: {stages.train.batch: [32, 64], stages.solve.sampler.steps: [4, 8]}}\n")
    assert names(found) == ["seed=0,batch=32,steps=4", "seed=0,batch=64,steps=8", "seed=1,batch=32,steps=4", "seed=1,batch=64,steps=8"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        pytest.param("[{seed: 0}]", ["a,seed=1", "b,seed=1"], id="by-value"),
        pytest.param("[{seed: 0, case: a}]", ["a,seed=1", "b,seed=0", "b,seed=1"], id="by-case-and-value"),
        pytest.param("[{case: a}, {seed: 1.0}]", ["b,seed=0"], id="several-and-as-typed"),
        pytest.param("[{seed: 7}]", ["a,seed=0", "a,seed=1", "b,seed=0", "b,seed=1"], id="nothing"),
    ],
)
def test_an_excluded_point_is_not_made(exclude: str, left: list[str], made: Callable[[str], Compiled]) -> None:
    assert (
        names(made(f"cases: {{a: {{}}, b: {{stages: {{train: {{batch: 64}}}}}}}}\nsweep: {{grid: {{seed: [0, 1]}}, exclude: {exclude}}}\n"))
        == left
    )


# --- draws

RANGE = "stages.train.optimizer.learning_rate: {low: 1e-5, high: 1e-1, log: true}"


def draws(made: Callable[[str], Compiled], samples: int, seed: int = 0, more: str = "") -> list[float]:
    found = made(f"sweep: {{random: {{samples: {samples}, seed: {seed}, values: {{{RANGE}{more}}}}}}}\n")
    return [point.values["stages.train.optimizer.learning_rate"] for point in found.plan.points.values()]


def test_more_draws_keep_those_that_fewer_gave_and_another_path_changes_none(made: Callable[[str], Compiled]) -> None:
    few = draws(made, 5)
    assert draws(made, 9)[:5] == few
    assert draws(made, 5, more=", seed: {low: 0, high: 9}") == few
    assert draws(made, 5, seed=1) != few


def test_draws_in_the_logarithm_are_even_in_the_logarithm(made: Callable[[str], Compiled]) -> None:
    found = sorted(math.log10(value) for value in draws(made, 400))
    assert -5 <= found[0] < -4.9 and -1.1 < found[-1] <= -1
    # The largest distance from the even distribution stays below the Kolmogorov bound at one in a million.
    worst = max(abs((value + 5) / 4 - (index + 0.5) / 400) for index, value in enumerate(found))
    assert worst < math.sqrt(math.log(2e6) / 2 / 400)


def test_a_range_of_integers_gives_every_integer_and_a_list_every_item(made: Callable[[str], Compiled]) -> None:
    found = made("sweep: {random: {samples: 60, values: {seed: {low: 2, high: 5}, stages.train.batch: [32, 64, 128]}}}\n")
    assert {point.values["seed"] for point in found.plan.points.values()} == {2, 3, 4, 5}
    assert {point.values["stages.train.batch"] for point in found.plan.points.values()} == {32, 64, 128}


@pytest.mark.parametrize(
    ("values", "column"),
    [
        pytest.param("seed: 3", 56, id="no-range"),
        pytest.param("seed: []", 56, id="empty"),
        pytest.param("seed: {low: 1}", 56, id="no-high"),
        pytest.param("seed: {low: 3, high: 1}", 62, id="backwards"),
        pytest.param("seed: {low: 0, high: 1, log: true}", 62, id="no-logarithm"),
        pytest.param("seed: {low: 0, high: 1, log: 3}", 79, id="log-is-a-truth-value"),
        pytest.param("seed: {low: 0, heigh: 1}", 65, id="misspelt"),
    ],
)
def test_a_range_that_is_none_is_told_at_its_place(
    values: str, column: int, examples: dict[str, str], diagnosing: Callable[..., tuple[Diagnostic, ...]]
) -> None:
    (found,) = diagnosing(examples["sudoku"] + f"sweep: {{random: {{samples: 3, seed: 0,   values: {{{values}}}}}}}\n")
    assert found.mark is not None
    assert (found.code, found.mark.column) == ("E127", column)


# --- points that compute the same


def test_points_that_compute_the_same_are_told(examples: dict[str, str], diagnosing: Callable[..., tuple[Diagnostic, ...]]) -> None:
    cases = "cases: {a: {}, b: {launch: local}, c: {seed: 1}}\n"
    (found,) = diagnosing(examples["sudoku"] + cases)
    assert (found.code, found.path, "b computes the same as a" in found.message) == ("W432", "cases", True)
    assert diagnosing(examples["sudoku"] + "cases: {a: {}, c: {seed: 1}}\n") == ()


def test_a_case_that_an_axis_goes_over_whole_is_told_too(
    examples: dict[str, str], diagnosing: Callable[..., tuple[Diagnostic, ...]]
) -> None:
    (found,) = diagnosing(examples["sudoku"] + "cases: {a: {}, b: {seed: 3}}\nsweep: {grid: {seed: [0, 1]}}\n")
    assert found.code == "W432"


# --- comparisons


@pytest.mark.parametrize("baseline", ["a", "batch=64", "stages.train.batch=64"])
def test_a_baseline_is_a_case_or_a_value_of_an_axis(baseline: str, made: Callable[[str], Compiled]) -> None:
    sweep = "cases: {a: {}}\nsweep: {grid: {seed: [0, 1], stages.train.batch: [32, 64]}}\n"
    found = made(sweep + f"compare: {{baseline: {baseline}, over: seed}}\n")
    assert found.spec.compare is not None and found.spec.compare.baseline == baseline


def test_a_comparison_changes_no_id_and_not_the_run(made: Callable[[str], Compiled]) -> None:
    cases = "cases: {a: {}, b: {seed: 3}}\n"
    assert made(cases + "compare: {baseline: a}\n").plan.run_id == made(cases).plan.run_id
