"""A step of a training stage against the same step in a bare loop: 100 M parameters, float32, on a CPU. Run alone on a quiet machine.

    python tests/benchmarks/trainer_overhead.py [--steps 12] [--rows 4] [--length 128]

After every step of the stage (data, noise, loss, backward pass, clipping, AdamW, alarm, metrics, progress) the bare loop takes one on
weights of its own with the same rows and noise: data, loss, backward pass, clipping, AdamW. Ratios are medians over the pairs, by the clock
and by CPU time.
"""

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as stages run

import torch

import dllm_run.runtime.train as training
from dllm_run.cli.specs import find
from dllm_run.runtime.build import build, module_of
from dllm_run.runtime.context import Context
from dllm_run.runtime.models import load
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.prepared import TRAIN, Split
from dllm_run.runtime.reporter import Reporter
from dllm_run.runtime.training_rows import TrainingRows, collate, rows_of
from dllm_run.specs.canonical import pretty
from dllm_run.specs.reference import Reference
from dllm_run.specs.store import Runs, write_atomic
from dllm_run.specs.vocabulary.training import Training

TARGET = 1.05
SPEC = """
version: 1
name: overhead
model: {{scratch: {{family: llama, layers: 14, width: 768, heads: 12, mlp: 2048}}, tokenizer: bytes}}
stages:
  train:
    kind: pretrain
    data: {{sources: [./text.txt], max_length: {length}, packing: cut}}
    objective: mdlm
    batch: {rows}
    optimizer: {{learning_rate: 1e-4}}
    duration: {steps} steps
    checkpoint: {{every: {steps} steps}}
"""


class BareLoop:
    """The least that a step of this training can be."""

    def __init__(self, context: Context, steps: int) -> None:
        body = context.stage.body
        assert isinstance(body, Training) and isinstance(body.data, Reference)
        self.denoiser = load(context, body.model).denoiser.train()
        self.objective, self.stream = build(body.objective), Stream(context.seed, "noise")
        self.rows = TrainingRows(Split.open(context.output_of(body.data), TRAIN), seed=context.seed, batch=body.batch.global_, steps=steps)
        vocabulary = int(self.denoiser.network.config.vocab_size)
        self.collate = functools.partial(collate, pad=0, batch=body.batch.global_, vocabulary=vocabulary)
        self.batch = body.batch.global_
        # As Trainer makes it: AdamW by parameter groups, one of them without decay.
        parameters = list(self.denoiser.parameters())
        groups = [{"params": parameters[::2]}, {"params": parameters[1::2]}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.0)
        self.losses: list[float] = []

    def step(self, number: int) -> None:
        """One step."""
        first = self.batch * number
        rows = rows_of(self.collate([self.rows[place] for place in range(first, first + self.batch)]))
        loss = self.denoiser(self.objective.loss, rows, self.objective.draw(self.stream, rows))
        mean = loss.numerator / loss.denominator
        mean.backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.losses.append(float(mean.detach()))


Clocks = tuple[float, float]
"""Seconds by the clock, and of CPU time."""


def _clocks() -> Clocks:
    return time.perf_counter(), time.process_time()


def _since(before: Clocks, after: Clocks) -> Clocks:
    return after[0] - before[0], after[1] - before[1]


class Paired(Reporter):
    """After each step of the stage one of the bare loop, both by the clock."""

    seconds: ClassVar[list[tuple[Clocks, Clocks]]] = []
    bare: BareLoop | None = None
    began: ClassVar[Clocks] = (0.0, 0.0)

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        super().on_train_begin(*args, **kwargs)
        Paired.bare = BareLoop(self.context, self.steps)
        Paired.began = _clocks()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        super().on_step_end(*args, **kwargs)
        assert Paired.bare is not None
        between = _clocks()
        Paired.bare.step(len(Paired.seconds))
        now = _clocks()
        Paired.seconds.append((_since(Paired.began, between), _since(between, now)))
        Paired.began = now


def main() -> None:
    """Prepare the data, train, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args()
    training.Reporter = Paired  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_text("a text that says very little, again and again.\n" * 4000, encoding="utf-8")
        (folder / "spec.yaml").write_text(SPEC.format(**vars(options)), encoding="utf-8")
        plan, runs = find(str(folder / "spec.yaml"), []).compile().plan, Runs(folder / "runs")
        for stage_id, stage in plan.stages.items():
            context = Context(plan=plan, stage_id=stage_id, runs=runs, base=folder, attempt=runs.entry(stage_id).new_attempt())
            write_atomic(context.entry.results_file, pretty(module_of(type(stage.body)).run(context)))
            runs.entry(stage_id).finish()
        lines = [json.loads(line) for line in context.attempt.metrics.read_text(encoding="utf-8").splitlines()]
    assert Paired.bare is not None
    count = sum(value.numel() for value in Paired.bare.denoiser.network.parameters())
    apart = max(abs(line["loss"] - loss) for line, loss in zip(lines, Paired.bare.losses, strict=True))
    pairs = Paired.seconds[1:]  # the first one warms up
    print(f"{count / 1e6:.0f} M parameters, {options.rows} x {options.length} tokens, {len(pairs)} pairs, losses at most {apart:.1e} apart")
    for index, measure in enumerate(("by the clock", "by CPU time")):
        ratios = sorted(stage[index] / bare[index] for stage, bare in pairs)
        stage, bare = (statistics.median(seconds[index] for seconds in column) for column in zip(*pairs, strict=True))
        print(f"  {measure}: stage {stage:.3f} s, bare loop {bare:.3f} s a step")
        print(f"    ratio {statistics.median(ratios):.3f} [{ratios[0]:.3f}-{ratios[-1]:.3f}]  target <= {TARGET}")


if __name__ == "__main__":
    main()
