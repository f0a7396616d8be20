"""The standard error of a difference over questions, worked out by hand."""

import json
import math
from pathlib import Path

import pytest
from made_runs import SPEC, Folder

from dllm_run.cli.questions import Lines, error_by_question
from dllm_run.specs.store import Runs, write_atomic

LEFT, RIGHT = [1, 1, 0, 1], [1, 0, 0, 0]
"""Differences 0, 1, 0, 1: their mean is a half, their standard deviation 1/sqrt(3), and half of that the error of the mean."""
ERROR = 1 / math.sqrt(3) / 2


def kept(folder: Path, scores: list[object], *, task: str = "sums", name: str = "right", filters: tuple[str, ...] = ("none",)) -> Lines:
    """A file of answers, with lines of another task around them."""
    file = folder / "samples.jsonl"
    folder.mkdir(exist_ok=True)
    other = json.dumps({"task": "other", "doc_id": 0, "filter": "none", "scores": {name: 9}}) + "\n"
    own = [
        json.dumps({"task": task, "doc_id": index, "filter": found, "scores": {name: value}}) + "\n"
        for found in filters
        for index, value in enumerate(scores)
    ]
    file.write_text(other + "".join(own) + other, encoding="utf-8")
    return Lines(file=file, start=1, stop=1 + len(own))


def between(
    tmp_path: Path, left: list[object], right: list[object], values: tuple[float, float], key: tuple[str, int] = ("right", 0)
) -> float | None:
    return error_by_question(kept(tmp_path / "left", left), kept(tmp_path / "right", right), key, values)


def test_the_error_is_that_of_the_mean_difference(tmp_path: Path) -> None:
    assert between(tmp_path, LEFT, RIGHT, (0.75, 0.25)) == pytest.approx(ERROR)  # type: ignore[arg-type]


def test_it_is_in_the_unit_of_the_table(tmp_path: Path) -> None:
    assert between(tmp_path, LEFT, RIGHT, (75.0, 25.0)) == pytest.approx(100 * ERROR)  # type: ignore[arg-type]


def test_sums_over_weights_are_paired_too(tmp_path: Path) -> None:
    """Texts of 4 and 6 bytes: log-likelihoods over 10 log 2. Differences of 1 and 3 have the standard deviation sqrt(2)."""
    left, right = [[-5.0, 4], [-9.0, 6]], [[-4.0, 4], [-6.0, 6]]
    unit = 10 * math.log(2)
    assert between(tmp_path, left, right, (14 / unit, 10 / unit), ("this model", 0)) == pytest.approx(math.sqrt(2) * math.sqrt(2) / unit)  # type: ignore[arg-type]


def test_one_side_may_be_all_wrong(tmp_path: Path) -> None:
    assert between(tmp_path, [0, 0, 0, 0], RIGHT, (0.0, 0.25)) == pytest.approx(0.25)
    assert between(tmp_path, [0, 0, 0, 0], RIGHT, (0.5, 0.25)) is None


@pytest.mark.parametrize(
    ("right", "values"),
    [
        pytest.param([1, 0, 0], (0.75, 1 / 3), id="other questions"),
        pytest.param(RIGHT, (0.75, 0.5), id="no mean"),
        pytest.param([None] * 4, (0.75, 0.25), id="no numbers"),
        pytest.param([0, 0, 0, 0], (0.5, 0.3), id="a value that no answer gives"),
    ],
)
def test_what_is_no_sum_over_the_same_questions_has_none(right: list[object], values: tuple[float, float], tmp_path: Path) -> None:
    assert between(tmp_path, LEFT, right, values) is None  # type: ignore[arg-type]


def test_missing_answers_have_none(tmp_path: Path) -> None:
    missing = Lines(file=tmp_path / "nowhere.jsonl", start=0, stop=4)
    assert error_by_question(kept(tmp_path / "left", LEFT), missing, ("right", 0), (0.75, 0.25)) is None  # type: ignore[arg-type]


def test_filters_of_one_metric_are_told_apart_by_their_order(tmp_path: Path) -> None:
    left = kept(tmp_path / "left", LEFT, filters=("strict", "loose"))  # type: ignore[arg-type]
    right = kept(tmp_path / "right", RIGHT, filters=("strict", "loose"))  # type: ignore[arg-type]
    assert error_by_question(left, right, ("right", 1), (0.75, 0.25)) == pytest.approx(ERROR)
    assert error_by_question(left, right, ("right", 2), (0.75, 0.25)) is None


def finish(runs: Runs, stage_id: str, answers: list[int]) -> None:
    entry = runs.entry(stage_id)
    row = {"name": "right", "value": sum(answers) / len(answers), "unit": "", "meaning": "right ones", "error": 0.2}
    write_atomic(entry.results_file, json.dumps({"tasks": {"held_out_text": {"table": [row], "samples": {"rows": len(answers)}}}}))
    lines = [
        {"task": "held_out_text", "doc_id": index, "filter": "none", "scores": {"right": value}} for index, value in enumerate(answers)
    ]
    write_atomic(entry.output("results") / "samples.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    entry.finish()


def test_a_comparison_of_single_evaluations_is_paired_by_question(folder: Folder) -> None:
    folder.write(SPEC + "cases: {plain: {}, wide: {stages: {train: {model: {scratch: {width: 64}}}}}}\ncompare: {baseline: plain}\n")
    for point in folder.run().points.values():
        finish(folder.runs, point.stages["bound"], RIGHT if point.case == "plain" else LEFT)
    code, said = folder.said("show", "--json")
    ((metric,),) = [row["metrics"] for row in json.loads(said)["comparison"]["tables"][0]["rows"] if row["name"] == "wide"]
    assert code == 0 and metric["difference"] == {"pairs": 1, "value": 0.5, "error": pytest.approx(ERROR), "by_question": True}
    code, said = folder.said("show")
    assert code == 0 and "+0.500 ± 0.289†" in said and "† the standard error of the difference over the questions" in said
