"""`explain`: pages of codes, fields of the language, values of a spec with everybody who had a say."""

import json
from pathlib import Path
from typing import Any

import pytest

from dllm_run.cli.main import main
from dllm_run.specs.codes import codes
from dllm_run.specs.field import fields_of
from dllm_run.specs.leaves import promoted_paths
from dllm_run.specs.vocabulary.spec import Spec

SPEC = """\
version: 1
name: tiny
data:
  rows: {sources: [{generate: sudoku}], holdout: 0.1, max_length: 16}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 128}, tokenizer: bytes}
    data: ${data.rows}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 20 steps
  look:
    kind: sample
    model: ${stages.train}
    prompts: {data: "${data.rows}", limit: 2}
    sampler: llada
compute: {threads: 1}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return "spec.yaml"


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["explain", *words]) == code
    found = capsys.readouterr()
    return found.out if code == 0 else found.err


def fields(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    document = json.loads(said(capsys, *words, "--json"))
    assert document["schema"] == "dllm-run/explain/1"
    found: list[dict[str, Any]] = document["fields"]
    return found


# --- codes


@pytest.mark.parametrize("word", ["E311", "e311", "311"])
def test_a_code_is_found_however_it_is_written(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, word)
    assert text.startswith("E311: the batch does not divide\n") and "batch: {global: 32, micro: 7}" in text
    assert "```" not in text and "## " not in text


@pytest.mark.parametrize("code", codes())
def test_every_page_is_shown(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(said(capsys, code, "--json"))
    assert document["code"] == code and document["text"] and document["related"]
    assert document["severity"] == ("error" if code.startswith("E") else "warning")
    assert document["title"] in said(capsys, code).splitlines()[0]


def test_an_unknown_code_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "E319", code=5) if "E319" not in codes() else said(capsys, "E399", code=5)
    assert "E3" in text and "near it" in text


# --- the language


def test_a_field_is_told_with_all_that_it_declares(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "batch.micro")
    for part in (
        "stages.NAME.batch.micro",
        "Divides `global`",
        "rows; at least 1",
        "null",
        "numerics",
        "result where the model has dropout",
    ):
        assert part in text, part
    (found,) = fields(capsys, "batch.micro")
    assert (found["unit"], found["bounds"], found["required"], found["default"], found["effect"]) == (
        "rows",
        {"minimum": 1},
        False,
        "null",
        "numerics",
    )


def test_a_family_is_told_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "objective.schedule")
    assert "linear  alpha(t) = 1 - t" in text and "cosine  alpha(t)" in text


def test_a_word_is_told_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "llada")
    assert text.startswith("llada (samplers)") and "block_size" in text and "default low_confidence" in text


def test_a_typo_is_answered_with_the_nearest_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean stages.train.optimizer.learning_rate?" in said(capsys, "stages.train.optimizer.learning_rat", code=5)


def test_what_promotes_a_field_is_said_of_it() -> None:
    """Every conditional effect has its condition in words, and no condition is made up."""
    from dllm_run.compiler.entries import entries

    told = {entry.path[2:] for entry in entries() if entry.info.leaf.result_if}
    having = {owner for entry in entries() for owner in entry.owners if hasattr(owner, "promoted")}
    assert told == {("batch", "micro")} and {owner.__name__ for owner in having} >= {"Pretrain", "Sft"}
    assert promoted_paths(Spec) == frozenset() and fields_of(Spec)


# --- a spec


def test_a_value_is_told_with_its_place(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "learning_rate", spec)
    assert found["path"] == "stages.train.optimizer.learning_rate" and found["is"] == 0.001
    assert found["set_by"] == [{"value": "0.001", "place": "spec.yaml:12", "note": None}]


def test_every_flag_that_had_a_say_is_listed_and_the_last_one_counts(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "batch.global", spec, "-s", "stages.train.batch=8", "-s", "stages.train.batch.global=2")
    assert [(item["value"], item["place"]) for item in found["set_by"]] == [
        ("4", "spec.yaml:11"),
        ("8", "-s stages.train.batch=8"),
        ("2", "-s stages.train.batch.global=2"),
    ]
    assert found["is"] == 2


def test_a_copied_value_names_the_reference_that_brought_it(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "stages.train.data.max_length", spec)
    assert found["set_by"] == [{"value": "16", "place": "spec.yaml:4", "note": "as data.rows.max_length, by ${data.rows} at spec.yaml:9"}]


def test_what_is_written_once_and_copied_is_told_once(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "max_length", spec)
    assert found["path"] == "data.rows.max_length"
    assert found["copied_to"] == ["stages.train.data.max_length", "stages.look.prompts.data.max_length"]


def test_what_comes_from_the_top_says_so(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "stages.train.compute.threads", spec)
    assert found["is"] == 1
    assert found["set_by"] == [{"value": "1", "place": "spec.yaml:19", "note": "as compute.threads, which all stages share"}]


def test_a_default_says_that_it_is_one(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "temperature", spec)
    assert found["set_by"] == [{"value": "0.0", "place": "default", "note": None}] and found["planned"] == []


@pytest.mark.parametrize(("path", "solved"), [("batch.micro", 4), ("heads", 2), ("scratch.mlp", 320)])
def test_what_the_compiler_solves_is_shown_as_the_plan_has_it(
    path: str, solved: int, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = fields(capsys, path, spec)
    assert found["is"] is None and found["planned"] == [{"points": "-", "value": solved}]


def test_a_swept_value_is_shown_for_each_point(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "learning_rate", spec, "-s", "sweep.grid={stages.train.optimizer.learning_rate: [1e-3, 1e-2]}")
    assert [(item["points"], item["value"]) for item in found["planned"]] == [("learning_rate=0.001", 0.001), ("learning_rate=0.01", 0.01)]


def test_an_effect_is_that_of_this_spec(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fields(capsys, "batch.micro", spec)[0]["effect"] == "numerics"
    assert fields(capsys, "batch.micro", spec, "-s", "stages.train.model.dropout=0.1")[0]["effect"] == "result"


def test_a_map_is_shown_with_everything_that_came_by_default(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "stages.train.model", spec)
    below = {item["path"]: (item["value"], item["place"]) for item in found["below"]}
    assert below["scratch.width"] == ("128", "spec.yaml:8")
    assert below["scratch.heads"] == ("2", "solved by the compiler")
    assert below["attention"] == ("bidirectional", "default")


def test_an_edge_stays_an_edge(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "${stages.train}" in said(capsys, "stages.look.model", spec)


def test_a_name_of_the_user_is_told_by_what_it_names(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = fields(capsys, "stages.train", spec)
    assert (
        found["meaning"].startswith("Train on plain text")
        and {"path": "kind", "value": "pretrain", "place": "spec.yaml:7"} in found["below"]
    )


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("batch.macro", "did you mean batch.micro?"),
        ("evaluate.limit", "it is not set there; `dllm-run explain evaluate.limit`"),
        ("zzz", "no 'zzz'"),
    ],
)
def test_a_path_that_a_spec_does_not_have_is_answered(path: str, answer: str, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer in said(capsys, path, spec, code=5)


def test_a_broken_spec_is_told_as_ever_and_the_last_line_names_the_page_of_the_first_error(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "batch", spec, "-s", "stages.train.batch.micro=3", "-s", "stages.look.sampler.stepz=3", code=3)
    assert (
        text.splitlines()[-1].startswith("1 error: `dllm-run explain E1")
        or text.splitlines()[-1] == "2 errors: `dllm-run explain E102` says more"
    )


@pytest.mark.parametrize(
    "path", ["seed", "data", "stages", "compute", "launch", "name", "sampler.type", "prompts", "stages.train.data.sources.0"]
)
def test_every_kind_of_path_is_told_as_text_and_as_data(path: str, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "set by" in said(capsys, path, spec)
    assert fields(capsys, path, spec)
