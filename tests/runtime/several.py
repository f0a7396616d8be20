"""Stages in several processes for the tests: one tiny training, prepared once, and copied for each way to run it."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from runtime_toys import compiled, run_stage, stage_id
from safetensors.torch import load_file

from dllm_run.launchers.job import Job
from dllm_run.specs.canonical import canonical
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Entry, Runs

SPEC = """
version: 1
name: toy
seed: 2
model: {scratch: {family: llama, layers: 2, width: 32, heads: 2, positions: 64, tie_embeddings: false}, tokenizer: characters}
data:
  toy: {sources: [./texts.jsonl], holdout: 5 rows, max_length: 24}
stages:
  train:
    kind: pretrain
    data: ${data.toy}
    objective: mdlm
    batch: {global: 8, micro: 2}
    optimizer: {learning_rate: 1e-2, lr_schedule: cosine, warmup: 0.1}
    duration: 6 steps
    evaluate: {every: 3 steps}
    checkpoint: {every: 2 steps, keep: 2}
compute: {threads: 1}
"""
PATIENCE = 180


@dataclass(frozen=True)
class Place:
    """A folder with a plan whose data are prepared, and the training in it."""

    folder: Path
    plan: Plan

    @property
    def stage(self) -> str:
        return stage_id(self.plan, "train")

    @property
    def entry(self) -> Entry:
        return Runs(self.folder / "runs").entry(self.stage)

    def start(self, processes: int | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """As a launcher starts it; `processes`: others than the plan has."""
        count = processes or self.plan.stages[self.stage].body.compute.world
        job = Job(plan=self.folder / "plan.json", stage_id=self.stage, runs=self.folder / "runs", base=self.folder, processes=count)
        log = (self.folder / "launch.log").open("wb")
        known = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        return subprocess.Popen(job.command(), cwd=self.folder, stdout=log, stderr=log, env=known, start_new_session=True)

    def run(self, processes: int | None = None) -> int:
        return self.start(processes).wait(timeout=PATIENCE)

    def ran(self) -> "Place":
        code = self.run()
        assert code == 0, self.told()
        return self

    def told(self) -> str:
        logs = [self.folder / "launch.log", *sorted(self.entry.attempts()[-1].path.glob("log*.txt"))] if self.entry.attempts() else []
        return "\n".join(f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}" for log in logs)

    def after(self, steps: int) -> subprocess.Popen[bytes]:
        """Started, and that many steps of a new attempt done."""
        attempts = len(self.entry.attempts())
        process = self.start()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and process.poll() is None:
            begun = self.entry.attempts()[attempts:]
            if begun and begun[-1].metrics.is_file() and begun[-1].metrics.read_bytes().count(b'"loss"') >= steps:
                return process
            time.sleep(0.002)
        raise AssertionError(f"the training never came to step {steps}\n{self.told()}")

    def weights(self) -> dict[str, torch.Tensor]:
        folder = self.entry.output("model")
        (file,) = folder.glob("*model.safetensors")
        return load_file(str(file))

    def sha(self) -> str:
        found = self.weights()
        plain = {name: value.contiguous().flatten().view(torch.uint8).numpy() for name, value in found.items()}  # numpy has no bfloat16
        return hashlib.sha256(b"".join(name.encode() + plain[name].tobytes() for name in sorted(plain))).hexdigest()

    def losses(self, key: str = "loss") -> list[tuple[int, float]]:
        found: dict[int, float] = {}
        for attempt in self.entry.attempts():
            for line in attempt.metrics.read_text(encoding="utf-8").splitlines() if attempt.metrics.is_file() else ():
                values = json.loads(line)
                if key in values:
                    found[values["step"]] = values[key]
        return sorted(found.items())

    def notes(self) -> list[str]:
        lines = self.entry.attempts()[-1].events.read_text(encoding="utf-8").splitlines()
        return [event["text"] for event in map(json.loads, lines) if event["event"] == "note"]

    def status(self) -> dict[str, Any]:
        return self.entry.attempts()[-1].status()


def texts() -> list[str]:
    """Rows of unequal length, so that micro batches count unequally."""
    return [("some words to learn " * 3)[index : index + 5 + 2 * index] for index in range(18)]


def placed(folder: Path, *flags: str, spec: str = SPEC) -> Place:
    """A new place, its data prepared."""
    folder.mkdir(parents=True)
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts())
    (folder / "texts.jsonl").write_text(rows, encoding="utf-8")
    plan = compiled(folder, spec, *flags)
    (folder / "plan.json").write_text(canonical(plan.to_json()), encoding="utf-8")
    run_stage(plan, "train.data", folder)
    return Place(folder, plan)


def alike(place: Place, folder: Path, *flags: str, spec: str = SPEC) -> Place:
    """Another place with the same data, under other flags; what is trained so far goes along."""
    shutil.copytree(place.folder, folder)
    plan = compiled(folder, spec, *flags)
    (folder / "plan.json").write_text(canonical(plan.to_json()), encoding="utf-8")
    return Place(folder, plan)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def children(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        if int(fields[1]) == pid and fields[0] != "Z":
            found += [int(folder.name), *children(int(folder.name))]
    return found


def rank_of(pid: int) -> int | None:
    """The rank of a process, by its environment."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(item[5:]) for item in environment if item.startswith(b"RANK=")), None)


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int]) -> bool:
    """Whether all of them end within a few seconds."""
    end = time.monotonic() + 10
    while any(map(lives, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


KILLED = 128 + signal.SIGKILL
PYTHON = sys.executable
