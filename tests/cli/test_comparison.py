"""The comparison of the points of a sweep: means, standard errors and paired differences, worked out by hand."""

import json
import math

import pytest
from made_runs import SPEC, Folder

from dllm_run.cli.comparison import standard_error
from dllm_run.specs.store import Runs, write_atomic

CASES = "cases: {plain: {}, wide: {stages: {train: {model: {scratch: {width: 64}}}}}}\nsweep: {grid: {seed: [0, 1, 2]}}\n"
SCORES = {("plain", 0): 3.0, ("plain", 1): 4.0, ("plain", 2): 8.0, ("wide", 0): 2.0, ("wide", 1): 2.0, ("wide", 2): 5.0}
"""Means 5 and 3, differences -1, -2, -3: their mean is -2, and 1/sqrt(3) the standard error of it."""


@pytest.fixture
def evaluated(folder: Folder) -> Folder:
    """A sweep whose evaluations have these results."""
    folder.write(SPEC + CASES + "compare: {baseline: plain, over: seed}\n")
    plan = folder.run()
    for point in plan.points.values():
        finish(folder.runs, point.stages["bound"], SCORES[str(point.case), point.values["seed"]])
    return folder


def finish(runs: Runs, stage_id: str, value: float, *more: dict[str, object]) -> None:
    entry = runs.entry(stage_id)
    row = {"name": "bound", "value": value, "unit": "bits per byte", "meaning": "of the hold-out", "error": 0.5}
    write_atomic(entry.results_file, json.dumps({"tasks": {"held_out_text": {"table": [row, *more]}}}))
    entry.finish()


def comparison(folder: Folder) -> dict[str, dict[str, object]]:
    code, said = folder.said("show", "--json")
    assert code == 0
    (table,) = json.loads(said)["comparison"]["tables"]
    return {row["name"]: row for row in table["rows"]}


def test_means_errors_and_paired_differences(evaluated: Folder) -> None:
    rows = comparison(evaluated)
    assert list(rows) == ["plain", "wide"]
    (plain,), (wide,) = rows["plain"]["metrics"], rows["wide"]["metrics"]  # type: ignore[misc]
    assert plain["mean"] == {"n": 3, "value": 5.0, "error": pytest.approx(math.sqrt(7) / math.sqrt(3)), "by_task": False}
    assert plain["difference"] is None
    assert wide["mean"]["value"] == 3.0 and wide["mean"]["error"] == pytest.approx(1.0)
    assert wide["difference"] == {"pairs": 3, "value": -2.0, "error": pytest.approx(1 / math.sqrt(3)), "by_question": False}


def test_what_is_not_done_is_told_and_leaves_the_pairs_that_are(folder: Folder) -> None:
    folder.write(SPEC + CASES + "compare: {baseline: plain, over: seed}\n")
    plan = folder.run()
    for point in plan.points.values():
        key = (str(point.case), point.values["seed"])
        if key not in (("wide", 2), ("plain", 0)):
            finish(folder.runs, point.stages["bound"], SCORES[key])
    rows = comparison(folder)
    assert (rows["wide"]["done"], rows["wide"]["planned"]) == (2, 3)
    assert rows["wide"]["metrics"][0]["difference"] == {"pairs": 1, "value": -2.0, "error": None, "by_question": False}  # type: ignore[index]
    code, said = folder.said("show")
    assert code == 0 and "2 of 3 done" in said and "-2.000 (1 pair)" in said and "baseline" in said


def test_without_an_axis_to_average_every_point_is_a_row_with_the_error_of_its_task(evaluated: Folder) -> None:
    evaluated.write(SPEC + CASES + "compare: {baseline: plain}\n")
    code, said = evaluated.said("show", "spec.yaml")
    assert code == 0 and "wide,seed=2" in said and "-3.000" in said and "5.000 ± 0.500*" in said


def test_a_sweep_without_comparison_has_a_row_a_point(evaluated: Folder) -> None:
    evaluated.write(SPEC + CASES)
    code, said = evaluated.said("show", "spec.yaml")
    assert code == 0
    assert [word for word in ("plain,seed=0", "wide,seed=2", "8.000", "difference") if word in said] == [
        "plain,seed=0",
        "wide,seed=2",
        "8.000",
    ]


def test_names_of_cases_are_text_and_never_markup(folder: Folder) -> None:
    folder.write(SPEC + 'cases: {"[/a]": {}, "[red]x": {seed: 4}}\ncompare: {baseline: "[/a]"}\n')
    code, said = folder.said("show", "spec.yaml")
    assert code == 0 and "[/a]" in said and "[red]x" in said
    code, said = folder.said("plan", "spec.yaml")
    assert code == 0


def test_a_run_without_its_resolved_spec_is_shown_without_comparison(evaluated: Folder) -> None:
    (folder,) = evaluated.runs.all_runs()
    (folder / "resolved.json").unlink()
    code, said = evaluated.said("show")
    assert code == 0 and "wide,seed=2" in said and "difference" not in said


def test_what_is_the_same_everywhere_and_what_a_star_means_stand_below(folder: Folder) -> None:
    folder.write(SPEC + CASES + "compare: {baseline: plain}\n")
    same = {"name": "gzip", "value": 2.25, "unit": "bits per byte", "meaning": "of the same text", "error": None}
    for point in folder.run().points.values():
        finish(folder.runs, point.stages["bound"], SCORES[str(point.case), point.values["seed"]], same)
    code, said = folder.said("show")
    assert code == 0
    assert "the same everywhere: gzip 2.250 bits per byte" in said
    assert "* the standard error that the task itself gives" in said


def test_the_standard_error_is_that_of_the_mean() -> None:
    assert standard_error([1.0]) is None
    assert standard_error([1.0, 3.0]) == pytest.approx(1.0)
    assert standard_error([2.0, 2.0, 2.0]) == 0.0
