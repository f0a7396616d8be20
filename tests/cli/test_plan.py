"""`dllm-run plan`: the estimates beside the stages, in a table and as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = """\
version: 1
name: planned
data:
  tulu: {sources: [allenai/tulu-3-sft-mixture], limit: 10000, holdout: 500 rows, max_length: 2048}
stages:
  train:
    kind: sft
    model: GSAI-ML/LLaDA-8B-Base
    data: ${data.tulu}
    objective: mdlm
    batch: 64
    optimizer: {learning_rate: 2e-5, warmup: 0.1}
    duration: 3 epochs
"""


def planned(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "dllm_run.cli.main", "plan", *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "140"}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_json(folder: Path, *words: str) -> dict[str, Any]:
    found = json.loads(planned(folder, *words, "--json"))
    return {stage["name"]: stage["estimate"] for stage in found["stages"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def test_a_plan_of_published_weights_needs_no_hub(folder: Path) -> None:
    """ceil(3 x 10000 / 64) steps; 12 bytes of a checkpoint for each of 8.0 B parameters are 89.6 GiB."""
    text = planned(folder, "spec.yaml")
    assert "DEVICES" in text and "MEMORY" in text and "TIME" in text
    assert "train: 469 optimizer steps, 47 warm-up, micro 64 x accumulation 1, 10 checkpoints of 90 GiB, the last kept" in text
    assert "estimates: memory is right to about 10 %" in text


def test_the_same_is_in_the_json(folder: Path) -> None:
    found = as_json(folder, "spec.yaml", "-s", "model=Qwen/Qwen3-0.6B", "-s", "stages.train.model=null", "-s", "compute.gpus_per_node=1",
                    "-s", "compute.gpu=a100-80gb")  # fmt: skip
    train = found["train"]
    assert found["train.data"]["memory"] is None and found["train.data"]["seconds"] is None
    assert sum(train["memory"]["parts"].values()) == train["memory"]["total"] < train["capacity"]
    assert train["memory"]["low"] <= train["memory"]["total"] <= train["memory"]["high"]
    assert train["devices"] == 1 and train["gpu"] == "a100-80gb"
    assert 0 < train["seconds"][0] < train["seconds"][1] and train["flops"][0] <= train["flops"][1]
    training = train["training"]
    assert training["steps"] == [469, 469] and training["micro"] * training["accumulation"] == 64
    assert training["checkpoint_bytes"] == 12 * 596_049_920
    assert any("peak" in text for text in train["assumptions"])


def test_a_gpu_shows_what_is_used_of_it(folder: Path) -> None:
    text = planned(folder, "spec.yaml", "-s", "stages.train.model=Qwen/Qwen3-0.6B", "-s", "compute={gpus_per_node: 1, gpu: a100-80gb}")
    row = next(line for line in text.splitlines() if line.startswith("train "))
    assert "1 a100-80gb" in row and " of 79 GiB" in row


def test_unknown_weights_are_planned_without_estimates(folder: Path) -> None:
    text = planned(folder, "spec.yaml", "-s", "stages.train.model=some/model")
    row = next(line for line in text.splitlines() if line.startswith("train "))
    assert "~" not in row and " - " in row
    assert "train: 469 optimizer steps" in text


def test_rows_on_a_hub_without_a_limit_leave_the_steps_open(folder: Path) -> None:
    text = planned(folder, "spec.yaml", "-s", "data.tulu.limit=null")
    assert "train: optimizer steps follow from the rows, micro 64" in text
