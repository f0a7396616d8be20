"""Shorthands: a text or number where a map is meant, for every one that the language has."""

from collections.abc import Callable
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.expand import expand, expand_at
from dllm_run.compiler.read import read, read_flag
from dllm_run.specs.vocabulary.spec import Spec

TRAIN = "version: 1\nname: x\nstages:\n  a:\n    kind: pretrain\n    "
EVAL = "version: 1\nname: x\nstages:\n  a:\n    kind: eval\n    "


def at(text: str, *path: str) -> Any:
    found = expand(read(text.encode(), "x"), Spec).get_text(path)
    return None if found is None else found.plain()


@pytest.mark.parametrize(
    ("text", "path", "wanted"),
    [
        pytest.param(TRAIN + "objective: mdlm", "stages.a.objective", {"type": "mdlm"}, id="objective"),
        pytest.param(TRAIN + "objective: {type: mdlm, schedule: cosine}", "stages.a.objective.schedule", {"type": "cosine"}, id="schedule"),
        pytest.param(TRAIN + "batch: 64", "stages.a.batch", {"global": 64}, id="batch"),
        pytest.param(TRAIN + "model: ./weights", "stages.a.model", {"from": "./weights"}, id="model"),
        pytest.param("model: org/name", "model", {"from": "org/name"}, id="model-at-the-top"),
        pytest.param("model: {tokenizer: bytes}", "model.tokenizer", {"type": "bytes"}, id="tokenizer"),
        pytest.param("model: {scratch: llama}", "model.scratch", {"family": "llama"}, id="family"),
        pytest.param("data: {d: {sources: [./a.txt]}}", "data.d.sources.0", {"path": "./a.txt"}, id="source"),
        pytest.param("data: {d: {sources: [{generate: sudoku}]}}", "data.d.sources.0.generate", {"type": "sudoku"}, id="generator"),
        pytest.param(EVAL + "sampler: llada", "stages.a.sampler", {"type": "llada"}, id="sampler"),
        pytest.param(EVAL + "tasks: [held_out_text]", "stages.a.tasks.0", {"name": "held_out_text"}, id="task"),
        pytest.param("launch: local", "launch", {"type": "local"}, id="launch"),
        pytest.param(TRAIN + "launch: slurm", "stages.a.launch", {"type": "slurm"}, id="launch-of-a-stage"),
        pytest.param(TRAIN + "model: ${stages.b}", "stages.a.model", {"from": "${stages.b}"}, id="an-edge-where-only-from-takes-one"),
        pytest.param(TRAIN + "model: ${model}", "stages.a.model", "${model}", id="a-copy-of-a-model-is-none"),
        pytest.param(EVAL + "model: ${stages.b}", "stages.a.model", "${stages.b}", id="an-edge-is-none"),
        pytest.param(TRAIN + "data: ${data.d}", "stages.a.data", "${data.d}", id="a-copy-is-none"),
        pytest.param(TRAIN + "objective: null", "stages.a.objective", None, id="null-is-none"),
        pytest.param(TRAIN + "batch: true", "stages.a.batch", True, id="a-truth-value-is-none"),
        pytest.param(TRAIN + "duration: 3 epochs", "stages.a.duration", "3 epochs", id="an-amount-is-none"),
        pytest.param(
            "version: 1\nstages: {a: {kind: data, tokenizer: bytes}}", "stages.a.tokenizer", {"type": "bytes"}, id="word-or-folder"
        ),
        pytest.param("version: 1\nstages: {a: {kind: data, tokenizer: ./w}}", "stages.a.tokenizer", "./w", id="folder-or-word"),
    ],
)
def test_a_shorthand_is_written_out(text: str, path: str, wanted: Any) -> None:
    assert at(text + "\n", *path.split(".")) == wanted


def test_expanding_what_is_expanded_changes_nothing(complete: str) -> None:
    once = expand(read(complete.encode(), "x"), Spec)
    assert expand(once, Spec) == once


def test_what_does_not_fit_is_left_for_the_schema() -> None:
    text = "version: [1]\nstages: {a: {kind: nothing, batch: 3}, b: 3, c: [1]}\ndata: 3\n"
    assert expand(read(text.encode(), "x"), Spec).plain()["stages"]["a"] == {"kind": "nothing", "batch": 3}


def test_an_expanded_value_keeps_its_place() -> None:
    found = expand(read((TRAIN + "batch: 64\n").encode(), "x"), Spec).get_text(("stages", "a", "batch", "global"))
    assert found is not None and (found.mark.line, found.mark.column) == (6, 12)


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        pytest.param("stages.a.batch=64", {"global": 64}, id="stage"),
        pytest.param("stages.a.objective.schedule=cosine", {"type": "cosine"}, id="deeper"),
        pytest.param("data.d.sources.0=./b.txt", {"path": "./b.txt"}, id="item"),
        pytest.param("data.d.sources=[./b.txt]", [{"path": "./b.txt"}], id="list"),
        pytest.param("model=./w", {"from": "./w"}, id="not-there-yet"),
        pytest.param("stages.a.unknown.thing=3", 3, id="unknown"),
        pytest.param("stages.b.batch=3", 3, id="stage-without-kind"),
    ],
)
def test_a_flag_is_expanded_for_the_place_it_goes_to(flag: str, wanted: Any) -> None:
    root = read((TRAIN + "objective: {type: mdlm}\ndata: {d: {sources: [{path: ./a.txt}]}}\n").encode(), "x")
    path, leaf = read_flag(flag)
    assert expand_at(root, Spec, path, leaf).plain() == wanted


def test_a_shorthand_in_a_flag_merges_with_what_is_there(examples: dict[str, str], compiling: Callable[..., Compiled]) -> None:
    text = examples["sudoku"].replace("batch: 128", "batch: {global: 128, micro: 32}")
    batch = compiling(text, "stages.train.batch=64").spec.stages["train"].batch  # type: ignore[attr-defined]
    assert (batch.global_, batch.micro) == (64, 32)


def test_a_shorthand_that_names_another_word_replaces_the_map(examples: dict[str, str], compiling: Callable[..., Compiled]) -> None:
    text = examples["sudoku"] + "launch: {type: slurm, partition: gpu}\n"
    assert compiling(text, "launch=local").spec.launch.word == "local"
