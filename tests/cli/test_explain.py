"""`explain`: pages of codes, fields of the language, values of a spec with everybody who had a say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_run.cli.main import main
from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.entries import look_up
from dllm_run.specs.codes import codes
from dllm_run.specs.leaves import leaves

SPEC = """\
version: 1
name: tiny
data:
  rows: {sources: [{generate: sudoku}], holdout: 0.1, max_length: 32}
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
    text = said(capsys, "sampler.remasking")
    assert "llada" in text and "fast_dllm" in text
    text = said(capsys, "stages.NAME.objective.start")
    assert "empty" in text and "masks" in text


def test_a_word_is_told_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "llada")
    assert "llada (samplers)" in text and "block_size" in text and "default low_confidence" in text


def test_a_typo_is_answered_with_the_nearest_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean stages.train.optimizer.learning_rate?" in said(capsys, "stages.train.optimizer.learning_rat", code=5)


def test_what_makes_an_effect_stronger_is_said_in_words(complete: str, compiling: Callable[..., Compiled]) -> None:
    """Wherever a spec turns the declared effect of a field into `result`, the field says when."""
    compiled = compiling(complete, "stages.train.model.dropout=0.1", "stages.tune.model.dropout=0.1")
    stronger = []
    for leaf in leaves(compiled.spec):
        found = [entry for entry in look_up(".".join(leaf.path)).exact if not entry.info.shape.cls]
        declared = {effect for entry in found for effect in entry.places.values()}
        if found and leaf.effect not in declared:
            stronger.append(".".join(leaf.path))
            assert any(entry.info.leaf.result_if for entry in found), leaf.path
    assert {"stages.train.batch.micro", "stages.tune.batch.micro"} <= set(stronger)


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
    assert found["set_by"] == [{"value": "32", "place": "spec.yaml:4", "note": "as data.rows.max_length, by ${data.rows} at spec.yaml:9"}]


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
    text = said(capsys, "batch", spec, "-s", "stages.train.batch.micro=x", "-s", "stages.look.sampler.stepz=3", code=3)
    assert text.splitlines()[-1] == "2 errors: `dllm-run explain E102` says more", (
        "sampler.stepz comes before batch.micro on a line of flags"
    )


def test_warnings_alone_name_no_page(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", spec, "-s", "data.more.sources=[{generate: sudoku}]"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "1 warning"


@pytest.mark.parametrize("words", [["E311", "spec.yaml"], ["E311", "-s", "seed=1"], ["learning_rate", "-s", "seed=1"]])
def test_what_would_be_ignored_is_refused(words: list[str], spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "SPEC" in said(capsys, *words, code=2)


@pytest.mark.parametrize(
    "path", ["seed", "data", "stages", "compute", "launch", "name", "sampler.type", "prompts", "stages.train.data.sources.0"]
)
def test_every_kind_of_path_is_told_as_text_and_as_data(path: str, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "set by" in said(capsys, path, spec)
    assert fields(capsys, path, spec)
