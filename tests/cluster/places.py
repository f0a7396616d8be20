"""Folders with a tiny experiment whose data are prepared, and the command of dllm-run in them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPEC = """\
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
    checkpoint: {every: 2 steps, keep: 2}
compute: {threads: 1}
"""
LOOK = """\
  look: {kind: sample, model: "${stages.train}", prompts: ["some "], max_new_tokens: 8, sampler: {type: llada, steps: 4, block_size: 8}}
compute:"""
SLURM = "launch: {type: slurm, partition: main, mem: 1500M%s}\n"
PATIENCE = 900


@dataclass(frozen=True)
class Place:
    """A folder with spec.yaml and runs."""

    folder: Path

    def call(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dllm_run.cli.main", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=dict(os.environ), check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def status(self) -> dict[str, Any]:
        """Stages by name; of several points by `point/name`."""
        told = json.loads(self.call("status", "spec.yaml", "--json", check=False).stdout)
        return {f"{stage['points'][0]}/{stage['name']}": {"id": stage_id, **stage} for stage_id, stage in told["stages"].items()}

    def wait(self, what: Callable[[dict[str, Any]], bool], text: str) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while True:
            now = self.status()
            if what(now):
                return now
            assert time.monotonic() < until, f"never: {text}\n{json.dumps(now, indent=1)}\n{self.told()}"
            time.sleep(0.5)

    def done(self) -> dict[str, Any]:
        return self.wait(lambda now: all(stage["state"] == "done" for stage in now.values()), "all stages are done")

    def entry(self, name: str) -> Path:
        (found,) = [stage["id"] for key, stage in self.status().items() if key.endswith(f"/{name}")]
        return self.folder / "runs" / "store" / found

    def attempts(self, name: str) -> list[dict[str, Any]]:
        folders = sorted((self.entry(name) / "attempts").glob("[0-9]*"), key=lambda path: int(path.name))
        return [json.loads((folder / "status.json").read_text()) for folder in folders]

    def status_of(self, stage_id: str) -> dict[str, Any]:
        """What the last attempt of a stage has written."""
        (found,) = (self.folder / "runs" / "store" / stage_id / "attempts").glob("[0-9]*/status.json")
        told: dict[str, Any] = json.loads(found.read_text())
        return told

    def steps(self, name: str) -> int:
        """Steps that were done, over all attempts."""
        return sum(path.read_bytes().count(b'"loss"') for path in (self.entry(name) / "attempts").glob("*/metrics.jsonl"))

    def after(self, name: str, steps: int) -> None:
        """Wait for so many more steps."""
        goal, until, folder = self.steps(name) + steps, time.monotonic() + PATIENCE, self.entry(name) / "attempts"
        while sum(path.read_bytes().count(b'"loss"') for path in folder.glob("*/metrics.jsonl")) < goal:
            assert time.monotonic() < until, f"never came to {goal} steps\n{self.told()}"
            time.sleep(0.05)

    def sha(self, name: str) -> str:
        (file,) = (self.entry(name) / "model").glob("*model.safetensors")
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def told(self) -> str:
        logs = [*self.folder.glob("runs/toy/*/jobs/*/*/*.out"), *self.folder.glob("runs/store/*/attempts/*/log*.txt")]
        return "\n".join(f"--- {log}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def placed(folder: Path, spec: str, prepared: Place | None = None) -> Place:
    """A new place; its data prepared, or taken from another."""
    folder.mkdir(parents=True)
    texts = [("some words to learn " * 3)[index : index + 5 + 2 * index] for index in range(18)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "spec.yaml").write_text(spec)
    place = Place(folder)
    if prepared is not None:
        shutil.copytree(prepared.folder / "runs" / "store", folder / "runs" / "store")
        return place
    place.call("compile", "spec.yaml", "-o", "compiled")
    plan = json.loads((folder / "compiled" / "plan.json").read_text())
    (data,) = [stage_id for stage_id, stage in plan["stages"].items() if stage["body"]["kind"] == "data"]
    subprocess.run([sys.executable, "-m", "dllm_run.runtime", "compiled/plan.json", data], cwd=folder, check=True, capture_output=True)
    return place


def processes(text: str) -> list[int]:
    """Processes of this machine, those of the nodes too, whose command line has a text in it."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in words:
                found.append(int(folder.name))
    return found
