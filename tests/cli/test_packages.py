"""A package that a word needs and that is not here: told before anything runs, by the command and by the stage itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from dllm_run.cli.main import main
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs

SPEC = """\
version: 1
name: tiny
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 16}, tokenizer: bytes}
    data: {sources: [{generate: sudoku}], holdout: 1 rows, max_length: 64}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 1 steps
log: [LOG]
"""
WITHOUT = """
import runpy, sys
import dllm_run.specs.packages as packages
packages.find_spec = lambda name: None
sys.argv = ["runtime", *sys.argv[1:]]
runpy.run_module("dllm_run.runtime", run_name="__main__")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, log: str) -> None:
    (folder / "spec.yaml").write_text(SPEC.replace("LOG", log), encoding="utf-8")


def test_nothing_is_run_where_a_tracker_has_no_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "tensorboard, wandb")
    monkeypatch.setattr("dllm_run.specs.packages.find_spec", lambda name: None)
    assert main(["run", "spec.yaml"]) == 6
    told = capsys.readouterr().err
    for name in ("tensorboard", "wandb"):
        assert f"{name} needs the package {name}, which is not here: `pip install 'dllm-run[{name}]'`" in " ".join(told.split())
    assert not list((folder / "runs").glob("store/*/attempts")), "not even the data are prepared"


def test_a_package_that_no_word_names_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    write(folder, "")
    monkeypatch.setattr("dllm_run.specs.packages.find_spec", lambda name: pytest.fail(f"{name} was asked for"))
    monkeypatch.setattr("dllm_run.cli.running.Runner.run", lambda runner: 0)
    assert main(["run", "spec.yaml"]) == 0


def test_the_stage_says_so_too_before_it_loads_anything(folder: Path) -> None:
    write(folder, "wandb")
    assert main(["compile", "spec.yaml", "-o", "tree"]) == 0
    plan = Plan.load(folder / "tree" / "plan.json")
    stage = next(iter(plan.points.values())).stages["train"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "tree/plan.json", stage], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    status = Runs(folder / "runs").entry(stage).attempts()[-1].status()
    assert status["state"] == "failed" and "pip install 'dllm-run[wandb]'" in status["message"]
