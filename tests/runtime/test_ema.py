"""The moving average of the weights: worked by hand, evaluated, written, and the same after an interruption."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_toys import compiled, context_of, run_stage
from safetensors.torch import load_file
from torch import Tensor, nn

from dllm_run.runtime.ema import Average
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.history import history
from dllm_run.runtime.prepared import HELD_OUT, Split
from dllm_run.runtime.train import train

SPEC = """
version: 1
name: toy
data: {{rows: {{sources: [{{generate: sudoku}}], limit: 64, holdout: 8 rows, max_length: 32}}}}
stages:
  base:
    kind: pretrain
    model: {{scratch: {{family: llama, layers: 1, width: 32, heads: 2}}, tokenizer: characters}}
    data: "${{data.rows}}"
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: 1e-2}}
    duration: 1 steps
  train:
    kind: pretrain
    model: {{from: "${{stages.base}}"{model}}}
    data: "${{data.rows}}"
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: 1e-2}}
    duration: {steps} steps
    ema: {ema}
    evaluate: {{every: {steps} steps}}
    checkpoint: {{every: 1 steps, keep: 9}}
"""


def test_three_steps_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(1.0)
    average = Average(layer, 0.5)
    for value in (3.0, 5.0, 1.0):
        layer.weight.data.fill_(value)
        average.update()
    # (1 + 3) / 2 = 2, (2 + 5) / 2 = 3.5, (3.5 + 1) / 2 = 2.25
    assert average.averages["weight"].item() == 2.25
    with average.in_place():
        assert layer.weight.item() == 2.25
    assert layer.weight.item() == 1.0


def test_what_is_frozen_has_no_average_and_narrow_weights_have_a_wide_one() -> None:
    layer = nn.Linear(2, 2).bfloat16()
    layer.bias.requires_grad_(False)
    average = Average(layer, 0.999)
    assert {name: value.dtype for name, value in average.averages.items()} == {"weight": torch.float32}


def test_a_checkpoint_without_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no averages"):
        Average(nn.Linear(1, 1), 0.5).restore(tmp_path)


def weights(folder: Path) -> dict[str, Tensor]:
    (file,) = (path for path in folder.glob("*.safetensors") if path.name != "ema.safetensors")
    return load_file(str(file))


@pytest.mark.parametrize("model", ["", ", lora: {r: 2}"], ids=["whole", "adapter"])
def test_a_run_writes_and_evaluates_the_average_of_its_steps(tmp_path: Path, model: str) -> None:
    plan = compiled(tmp_path, SPEC.format(model=model, steps=4, ema=0.75))
    for name in ("base.data", "base"):
        run_stage(plan, name, tmp_path)
    done = run_stage(plan, "train", tmp_path)
    steps = [weights(folder) for _, folder in done.entry.complete_checkpoints()]
    assert len(steps) == 4
    final = weights(done.entry.output("model"))
    # All but the start, which has a share of 0.75^4: what is missing is the same in every element of a fresh adapter's second factors, 0.
    for name, value in final.items():
        parts = [0.25 * 0.75 ** (3 - index) * step[name].double() for index, step in enumerate(steps)]
        start = (value.double() - sum(parts)) / 0.75**4
        if "lora_B" in name:
            assert float(start.abs().max()) < 1e-6
        else:
            assert float((start - steps[0][name].double()).abs().max()) < 0.05, "the first step has gone no farther than its rate"
        assert not torch.equal(value, steps[-1][name])
    bound = history(done.entry).held_out[-1][1]
    assert bound == pytest.approx(held_out_bound(plan, tmp_path, done), rel=1e-5)


def held_out_bound(plan: Any, folder: Path, done: Any) -> float:
    """Of the model as it was written."""
    from dllm_run.runtime.build import build
    from dllm_run.runtime.held_out import held_out_loss
    from dllm_run.runtime.models import load
    from dllm_run.runtime.noise import Stream
    from dllm_run.specs.reference import Reference

    context = context_of(plan, "train", folder)
    body: Any = context.stage.body
    denoiser = load(context, Reference(context.stage_id, "model")).denoiser.eval()
    split = Split.open(context.output_of(body.data), HELD_OUT)
    return held_out_loss(build(body.objective), denoiser, split, count=8, batch=4, stream=Stream(context.seed, "evaluate"))


@pytest.mark.parametrize("model", ["", ", lora: {r: 2, dropout: 0.2}"], ids=["whole", "adapter"])
def test_an_interrupted_run_ends_with_the_same_average(tmp_path: Path, model: str) -> None:
    def finished(folder: Path, *, interrupted: bool) -> dict[str, Tensor]:
        folder.mkdir()
        plan = compiled(folder, SPEC.format(model=model, steps=6, ema=0.9))
        for name in ("base.data", "base"):
            run_stage(plan, name, folder)
        if interrupted:
            context = context_of(plan, "train", folder)
            metric = context.attempt.metrics
            original = type(context).metric

            def noted(self: Any, step: int, values: Any) -> None:
                original(self, step, values)
                if step == 3:
                    self.interrupted = True

            type(context).metric = noted  # type: ignore[method-assign]
            try:
                assert train(context) == {}
            finally:
                type(context).metric = original  # type: ignore[method-assign]
            assert [json.loads(line)["step"] for line in metric.read_text().splitlines()][-1] == 3
        return weights(run_stage(plan, "train", folder).entry.output("model"))

    one, two = finished(tmp_path / "a", interrupted=False), finished(tmp_path / "b", interrupted=True)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
