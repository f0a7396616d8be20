"""A folder with a spec and its data, and runs of it that never trained: made by the functions that make real ones."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dllm_run.cli.rundir import prepare
from dllm_run.cli.specs import find
from dllm_run.cli.tree import tree
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Entry, Runs, write_atomic

SPEC = """\
version: 1
name: small
data:
  docs: {sources: [./docs.txt], holdout: 2 rows, max_length: 64, packing: cut}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 2, width: 128}, tokenizer: bytes}
    data: ${data.docs}
    objective: mdlm
    batch: {global: 32, micro: 8}
    optimizer: {learning_rate: 2e-5, warmup: 0.1}
    duration: 100 steps
  bound:
    kind: eval
    model: ${stages.train}
    data: ${data.docs}
    tasks: [held_out_text]
    likelihood: {estimator: elbo, samples: 8}
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["A"]
    max_new_tokens: 64
    sampler: {type: llada, steps: 32, block_size: 32}
"""


class Folder(NamedTuple):
    """The current folder of a test."""

    path: Path
    runs: Runs
    said: Callable[..., tuple[int, str]]
    """`said("plan", "spec.yaml")`: exit code and all that was printed."""

    def write(self, text: str = SPEC, name: str = "spec.yaml") -> None:
        """Write a spec."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def run(self, *flags: str, done: tuple[str, ...] = (), failed: dict[str, str] | None = None, age: int = 0) -> Plan:
        """A run of spec.yaml in which stages of these names were done, or failed with a message, `age` seconds ago."""
        named = find("spec.yaml", flags)
        compiled = named.compiled()
        plan = compiled.plan
        folder = prepare(tree(named, compiled), plan, self.runs)
        stamp = (folder / "plan.json").stat().st_mtime - age
        os.utime(folder / "plan.json", (stamp, stamp))
        for point in plan.points.values():
            for name, stage_id in point.stages.items():
                if name in done:
                    finish(self.runs.entry(stage_id))
                if name in (failed or {}):
                    attempt = self.runs.entry(stage_id).new_attempt()
                    attempt.write_status({"state": "failed", "message": (failed or {})[name]})
        return plan


def finish(entry: Entry, seconds: float = 5.0) -> None:
    """Give a stage a result."""
    if not entry.done:
        entry.new_attempt().write_status({"state": "done", "seconds": seconds})
        write_atomic(entry.results_file, "{}")
        entry.finish()
