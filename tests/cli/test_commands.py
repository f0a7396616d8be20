"""The command line as a user meets it: help, errors, exit codes, interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SPEC = """\
version: 1
name: tiny
data:
  rows: {sources: [./texts/*.txt], holdout: 1 rows, max_length: 16, packing: cut}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 16}, tokenizer: bytes}
    data: ${data.rows}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 20 steps
"""


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dllm_run.cli.main", *words], cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "texts").mkdir()
    for name in "abc":
        (tmp_path / "texts" / f"{name}.txt").write_text(f"some words of {name}, and some more of them. " * 4)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(["--help"], 0, "recipe:sudoku", id="help names a first command"),
        pytest.param([], 2, "usage", id="nothing asked"),
        pytest.param(["spec.yaml", "--nonsense"], 2, "--nonsense", id="unknown option"),
        pytest.param(["validate", "spec.yaml"], 0, "valid", id="valid"),
        pytest.param(["validate", "spec.yaml", "-s", "stages.train.batsh=3"], 3, "did you mean 'batch'?", id="typo in a flag"),
        pytest.param(["plan", "spec.yml"], 5, "did you mean spec.yaml?", id="no such file"),
        pytest.param(["plan", "recipe:sudoko"], 5, "did you mean recipe:sudoku?", id="no such recipe"),
        pytest.param(["sudoku"], 5, "did you mean recipe:sudoku?", id="a recipe without its prefix"),
        pytest.param(["show", "nothing"], 5, "there is no run nothing", id="no such run"),
        pytest.param(["run", "spec.yaml", "-s", "data.rows.sources=[./none.txt]"], 6, "./none.txt", id="input missing"),
        pytest.param(["run", "spec.yaml", "-s", "launch=slurm"], 6, "`dllm-run submit`", id="a launcher that jobs are sent to"),
        pytest.param(["diff", "spec.yaml", "spec.yaml"], 0, "no difference", id="no difference"),
    ],
)
def test_every_ending_has_its_exit_code_and_its_sentence(folder: Path, words: list[str], code: int, said: str) -> None:
    found = call(folder, *words)
    assert found.returncode == code, found.stderr
    assert said in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_json_of_an_invalid_spec_is_the_diagnostics_document(folder: Path) -> None:
    found = call(folder, "plan", "spec.yaml", "-s", "stages.train.kind=pretrian", "--json")
    document = json.loads(found.stdout)
    assert found.returncode == 3 and document["schema"] == "dllm-run/validate/1" and document["ok"] is False
    assert set(document["diagnostics"][0]) == {"code", "severity", "path", "file", "line", "column", "message", "fix"}


def test_compile_check_finds_a_changed_tree(folder: Path) -> None:
    assert call(folder, "compile", "spec.yaml", "-o", "tree").returncode == 0
    assert call(folder, "compile", "spec.yaml", "-o", "tree", "--check").returncode == 0
    (folder / "tree" / "plan.json").write_text("{}")
    found = call(folder, "compile", "spec.yaml", "-o", "tree", "--check")
    assert found.returncode == 4 and "plan.json" in found.stderr


@pytest.mark.slow
def test_a_failed_stage_is_told_with_its_reason_and_its_log(folder: Path) -> None:
    # Behind the first megabyte, which is all that is looked into beforehand.
    (folder / "texts" / "b.txt").write_bytes(b"a text\n" * 200_000 + b"\xff\xfe broken")
    found = call(folder, "spec.yaml")
    assert found.returncode == 1
    assert "stage train.data failed: b.txt is not UTF-8" in found.stderr and "log: " in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_an_input_that_changed_after_the_lock_is_refused_until_it_is_accepted(folder: Path) -> None:
    assert call(folder, "spec.yaml").returncode == 0
    (folder / "texts" / "a.txt").write_text("something else")
    found = call(folder, "spec.yaml")
    assert found.returncode == 6 and "changed since the lock was written" in found.stderr
    assert call(folder, "lock", "spec.yaml", "--update").returncode == 0
    assert "every stage is done" not in call(folder, "spec.yaml", "-q").stdout


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_and_the_next_run_continues(folder: Path) -> None:
    words = ["spec.yaml", "-s", "stages.train.duration=2000 steps", "-s", "stages.train.checkpoint.every=1000 steps"]
    process = subprocess.Popen([sys.executable, "-m", "dllm_run.cli.main", *words], cwd=folder, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        metrics = list(folder.glob("runs/store/*/attempts/1/metrics.jsonl"))
        if metrics and len(metrics[0].read_text().splitlines()) > 20:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    (checkpoint,) = folder.glob("runs/store/*/checkpoints/step-*/COMPLETE")
    step = int(checkpoint.parent.name.removeprefix("step-"))
    assert 20 <= step < 1000
    assert f"resume @{step}" in call(folder, "plan", *words).stdout
    shorter = call(folder, "show", "tiny", "--json")
    (point,) = json.loads(shorter.stdout)["points"].values()
    assert point["stages"]["train"]["status"] == "interrupted"
