"""What a step has to do, counted by the network that does it, and the rates that come of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_toys import compiled, context_of, run_stage, tiny_llama

from dllm_run.runtime.adapters import freeze, fresh_adapter
from dllm_run.runtime.context import Context
from dllm_run.runtime.models import load
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.prepared import TRAIN, Split
from dllm_run.runtime.seen import everyone
from dllm_run.runtime.train import train
from dllm_run.runtime.work import Speedometer, Work, speedometer
from dllm_run.specs.devices import DEVICES
from dllm_run.specs.flops import training_flops
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.training import Training

SPEC = """
version: 1
name: toy
seed: 5
model: {scratch: {family: llama, layers: 2, width: 32, heads: 2, positions: 64}, tokenizer: characters}
stages:
  train:
    kind: pretrain
    data: {sources: [./texts.jsonl], holdout: 2 rows, max_length: 20}
    objective: mdlm
    batch: {global: 4, micro: 2}
    optimizer: {learning_rate: 1e-2}
    duration: 3 steps
    evaluate: {every: 1 steps}
compute: {threads: 1}
"""
TEXTS = ["abcdefghijklmnopqrst"[: 3 + 2 * index] for index in range(8)]


def trained(folder: Path) -> tuple[Context, list[dict[str, Any]]]:
    folder.mkdir(exist_ok=True)
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    plan = compiled(folder, SPEC)
    run_stage(plan, "train.data", folder)
    context = context_of(plan, "train", folder)
    train(context)
    lines = [json.loads(line) for line in context.attempt.metrics.read_text(encoding="utf-8").splitlines()]
    return context, [line for line in lines if "loss" in line]


def test_padding_is_no_work_and_a_token_sees_its_row() -> None:
    denoiser = tiny_llama(vocabulary=11)
    valid_BL = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    chosen_BL = torch.tensor([[True, False, False, False, True], [False, True, False, False, False]])
    denoiser.logits(torch.ones(2, 5, dtype=torch.long), everyone(valid_BL), chosen_BL)
    assert denoiser.work() == Work(positions=5 + 3, pairs=25 + 9, scored=3)


def test_rates_are_the_work_by_the_seconds_and_utilization_is_its_share_of_the_peak() -> None:
    geometry = Geometry.from_config(tiny_llama(vocabulary=11).network.config.to_dict())
    assert geometry is not None
    work = Work(positions=60, pairs=600, scored=15)
    flops = training_flops(geometry, tokens=60, length=10, scored_share=0.25)
    meter = Speedometer(geometry=geometry, adapters=None, peak=8 * flops)
    assert meter.numbers(work, tokens=30, rows=6, seconds=0.5) == pytest.approx(
        {"tokens_per_second": 60, "samples_per_second": 12, "flops_per_second": 2 * flops, "model_flops_utilization": 0.25}
    )


def test_nothing_is_claimed_of_devices_and_architectures_that_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_llama(vocabulary=11).network
    on_cpu = speedometer(network, Compute(device="cpu")).numbers(Work(10, 50, 2), tokens=10, rows=2, seconds=1)
    assert "flops_per_second" in on_cpu and "model_flops_utilization" not in on_cpu
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Someone's Card")
    assert speedometer(network, Compute(device="cuda")).peak is None
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    h200 = DEVICES["h200-141gb"]
    assert speedometer(network, Compute(device="cuda", precision="bf16", processes=2)).peak == 2e12 * h200.tflops
    assert speedometer(network, Compute(device="cuda")).peak == 1e12 * h200.tflops_fp32, "fp32 has a peak of its own"
    unknown = Speedometer(geometry=None, adapters=None, peak=1.0).numbers(Work(10, 50, 2), tokens=10, rows=2, seconds=1)
    assert unknown.keys() == {"tokens_per_second", "samples_per_second"}


def test_the_metrics_of_a_step_fit_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Work, float, float]] = []
    numbers = Speedometer.numbers

    def noted(self: Speedometer, work: Work, *, tokens: float, rows: float, seconds: float) -> dict[str, float]:
        seen.append((work, tokens, rows))
        return numbers(self, work, tokens=tokens, rows=rows, seconds=seconds)

    monkeypatch.setattr(Speedometer, "numbers", noted)
    context, lines = trained(tmp_path)
    body = context.stage.body
    assert isinstance(body, Training)
    split = Split.open(context.output_of(body.data), TRAIN)  # type: ignore[arg-type]
    whole = sum(len(split.sequence(index).tokens) for index in range(len(split)))
    # 12 rows of 6: two visits of each, and evaluation on the way is not counted.
    assert len(split) == 6 and sum(tokens for _, tokens, _ in seen) == 2 * whole
    assert sum(work.positions for work, _, _ in seen) == 2 * whole
    assert all(rows == 4 and 0 < work.scored < work.positions < work.pairs for work, _, rows in seen)
    for (work, tokens, _), line in zip(seen, lines, strict=True):
        assert line["grad_norm"] > 0 and line["samples_per_second"] > 0
        assert line["tokens_per_second"] / line["samples_per_second"] == pytest.approx(tokens / 4)
        flops = speedometer(load(context, body.model).denoiser.network, body.compute).flops(work)
        assert flops is not None
        assert line["flops_per_second"] / line["samples_per_second"] == pytest.approx(flops / 4)


def test_of_an_adapter_its_own_weights_are_counted() -> None:
    network = tiny_llama(vocabulary=11).network
    whole = speedometer(network, Compute(device="cpu"))
    freeze(network)
    fresh_adapter(network, Lora(r=4).completed(), Stream(0, "adapter"), None)
    found = speedometer(network, Compute(device="cpu"))
    assert whole.adapters is None
    assert found.geometry is not None and found.adapters == found.geometry.lora_parameters(4)
