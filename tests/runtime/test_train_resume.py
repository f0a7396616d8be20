"""A training that was killed or interrupted ends with the same bits as one that was left alone."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from runtime_toys import compiled, run_stage, stage_id

from dllm_run.runtime.history import history
from dllm_run.specs.canonical import canonical
from dllm_run.specs.store import Entry, Runs

SPEC = """
version: 1
name: toy
seed: 2
model: {{scratch: {{family: llama, layers: 1, width: 32, heads: 2, positions: 64}}, tokenizer: characters, dropout: {dropout}}}
data:
  toy: {{sources: [./texts.jsonl], holdout: 3 rows, max_length: 24}}
stages:
  train:
    kind: pretrain
    data: ${{data.toy}}
    objective: mdlm
    batch: {{global: 4, micro: 2}}
    optimizer: {{learning_rate: 1e-2, lr_schedule: cosine, warmup: 0.1}}
    duration: 60 steps
    evaluate: {{every: 20 steps}}
    checkpoint: {{every: 12 steps, keep: 2}}
compute: {{threads: 1}}
"""
STEPS, EVERY = 60, 12


@dataclass(frozen=True)
class Place:
    """A folder with a plan whose data are prepared."""

    folder: Path
    stage: str

    @property
    def entry(self) -> Entry:
        return Runs(self.folder / "runs").entry(self.stage)

    def copied(self, folder: Path) -> "Place":
        shutil.copytree(self.folder, folder)
        return Place(folder, self.stage)

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dllm_run.runtime", "plan.json", self.stage, "--runs", "runs", "--threads", "1"]
        return subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)

    def run(self) -> int:
        return self.start().wait(timeout=240)

    def signalled(self, number: int, steps: int) -> int:
        """Start, send a signal once that many steps are done in this attempt, and wait for the end."""
        attempts = len(self.entry.attempts())
        process = self.start()
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            begun = self.entry.attempts()[attempts:]
            if begun and begun[-1].metrics.is_file() and begun[-1].metrics.read_bytes().count(b'"loss"') >= steps:
                os.kill(process.pid, number)
                break
            time.sleep(0.002)
        return process.wait(timeout=60)

    def sha(self) -> str:
        return hashlib.sha256((self.entry.output("model") / "model.safetensors").read_bytes()).hexdigest()

    def notes(self) -> list[str]:
        lines = self.entry.attempts()[-1].events.read_text(encoding="utf-8").splitlines()
        return [event["text"] for event in map(json.loads, lines) if event["event"] == "note"]

    def last_step(self) -> int:
        lines = self.entry.attempts()[-1].metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return max(json.loads(line)["step"] for line in lines if line.endswith("\n"))


def prepared(folder: Path, dropout: float) -> Place:
    folder.mkdir()
    texts = [("some words to learn " * 3)[index : index + 5 + 2 * index] for index in range(14)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    plan = compiled(folder, SPEC.format(dropout=dropout))
    (folder / "plan.json").write_text(canonical(plan.to_json()), encoding="utf-8")
    run_stage(plan, "train.data", folder)
    return Place(folder, stage_id(plan, "train"))


BOTH = pytest.mark.parametrize("fresh", [0.0, 0.05], ids=["no-dropout", "dropout"], indirect=True)
PLAIN = pytest.mark.parametrize("fresh", [0.0], ids=["no-dropout"], indirect=True)


@pytest.fixture(scope="module")
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return prepared(tmp_path_factory.mktemp("fresh") / "place", request.param)


@pytest.fixture(scope="module")
def undisturbed(fresh: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = fresh.copied(tmp_path_factory.mktemp("undisturbed") / "place")
    assert place.run() == 0
    assert len(history(place.entry).train) == STEPS
    return place


def same(place: Place, undisturbed: Place) -> bool:
    assert place.entry.done
    mine, other = history(place.entry), history(undisturbed.entry)
    assert mine.train == other.train and mine.held_out == other.held_out, "every loss has the same bits"
    return place.sha() == undisturbed.sha()


@BOTH
@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(fresh: Place, undisturbed: Place, tmp_path: Path) -> None:
    place = fresh.copied(tmp_path / "place")
    # After the first checkpoint, before the last: at any step, never told in advance which.
    steps = random.SystemRandom().randrange(EVERY + 2, 40)
    assert place.signalled(signal.SIGKILL, steps) == -signal.SIGKILL
    assert not place.entry.done and steps <= place.last_step() < STEPS
    checkpoints = place.entry.complete_checkpoints()
    assert checkpoints and {step % EVERY for step, _ in checkpoints} == {0}
    newest = checkpoints[-1][0]
    # What a kill in the middle of saving leaves behind.
    for name in ("step-59", "checkpoint-59"):
        (place.entry.checkpoints / name).mkdir()
        (place.entry.checkpoints / name / "model.safetensors").write_bytes(b"half")
    (place.entry.path / "model").mkdir()
    (place.entry.path / "model" / "stale").write_text("half")
    assert place.run() == 0
    assert place.notes() == [f"continues from step {newest}"]
    first = json.loads(place.entry.attempts()[-1].metrics.read_text(encoding="utf-8").splitlines()[0])
    assert first["step"] == newest + 1
    assert sorted(path.name for path in place.entry.checkpoints.iterdir()) == ["step-48", "step-60"]
    assert not (place.entry.path / "model" / "stale").exists()
    assert same(place, undisturbed), f"killed after {steps} steps"


@PLAIN
@pytest.mark.slow
def test_an_interrupted_training_saves_at_once_and_ends_with_the_same_bits(fresh: Place, undisturbed: Place, tmp_path: Path) -> None:
    place = fresh.copied(tmp_path / "place")
    assert place.signalled(signal.SIGINT, 20) == 130
    attempt = place.entry.attempts()[-1]
    assert attempt.status()["state"] == "interrupted" and not place.entry.done
    stopped = place.last_step()
    assert 20 <= stopped < STEPS and place.entry.complete_checkpoints()[-1][0] == stopped, "a checkpoint at the end of that step"
    assert place.run() == 0
    assert place.notes() == [f"continues from step {stopped}"]
    assert same(place, undisturbed)


@PLAIN
@pytest.mark.slow
def test_a_training_killed_after_its_last_checkpoint_only_saves_its_result(fresh: Place, undisturbed: Place, tmp_path: Path) -> None:
    place = undisturbed.copied(tmp_path / "place")
    for name in ("DONE", "results.json", "loss.png"):
        (place.entry.path / name).unlink()
    shutil.rmtree(place.entry.output("model"))
    assert place.run() == 0
    assert place.notes() == [f"continues from step {STEPS}"]
    assert same(place, undisturbed)


@PLAIN
@pytest.mark.slow
def test_a_finished_training_is_not_run_again(fresh: Place, undisturbed: Place) -> None:
    attempts, before = len(undisturbed.entry.attempts()), undisturbed.entry.done_file.read_bytes()
    assert undisturbed.run() == 0
    assert len(undisturbed.entry.attempts()) == attempts and undisturbed.entry.done_file.read_bytes() == before


@PLAIN
def test_a_stage_that_the_plan_does_not_have_is_not_found(fresh: Place) -> None:
    assert Place(fresh.folder, "0" * 16).run() == 5
