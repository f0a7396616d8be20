"""A training whose numbers go wrong stops before the optimizer moves, and names the rows that did it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_toys import compiled, context_of, rows, run_stage
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from dllm_run.runtime.alarm import beyond, single
from dllm_run.runtime.build import build
from dllm_run.runtime.context import Context
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.objectives import Loss
from dllm_run.runtime.objectives.mdlm import MdlmObjective
from dllm_run.runtime.train import train
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm
from dllm_run.specs.vocabulary.stop import Stop

SPEC = """
version: 1
name: toy
seed: 5
model: {from: ./weights, tokenizer: characters}
data:
  toy: {sources: [./texts.jsonl], holdout: 0.1, max_length: 24}
stages:
  train:
    kind: pretrain
    data: ${data.toy}
    objective: mdlm
    batch: {global: 4, micro: 2}
    optimizer: {learning_rate: 1e-3}
    duration: 6 steps
    checkpoint: {every: 1 steps}
compute: {threads: 1}
"""
VOCABULARY = 98
POISON = "~"


def prepared(folder: Path, *flags: str, poisoned: bool = True) -> Plan:
    """Twenty texts, one of them with a character whose embedding is no number; nothing but that row ever reads it."""
    from dllm_run.runtime.tokenizers import from_word
    from dllm_run.specs.vocabulary.tokenizers.characters import Characters

    texts = ["".join(chr(97 + (index + step) % 26) for step in range(16)) for index in range(20)]
    texts[7] = POISON * 16 if poisoned else texts[7]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config)
    token = from_word(Characters(), folder, None).fast.encode(POISON, add_special_tokens=False)[0]
    if poisoned:
        network.get_input_embeddings().weight.data[token] = math.nan
    network.save_pretrained(folder / "weights")
    plan = compiled(folder, SPEC, *flags)
    run_stage(plan, "train.data", folder)
    return plan


def poisoned_row(context: Context) -> int:
    """Where the poisoned text lies among the training sequences."""
    from dllm_run.runtime.prepared import TRAIN, Split

    split = Split.open(context.output_of(context.stage.body.data), TRAIN)  # type: ignore[attr-defined]
    return next(index for index in range(len(split)) if len(set(split.sequence(index).tokens)) <= 3)


def test_a_row_whose_loss_is_no_number_is_named_and_the_weights_on_disk_stay_good(tmp_path: Path) -> None:
    plan = prepared(tmp_path)
    context = context_of(plan, "train", tmp_path)
    row = poisoned_row(context)
    with pytest.raises(
        Failure, match=rf"the loss is nan at step \d, and the optimizer has not moved: row {row} \(micro batch [12]\): loss nan\."
    ) as told:
        train(context)
    stopped = json.loads((context.attempt.path / "stopped.json").read_text(encoding="utf-8"))
    assert [one["row"] for one in stopped["rows"] if one["loss"] == "nan"] == [row]
    assert len(stopped["rows"]) == 2
    steps = [json.loads(line)["step"] for line in context.attempt.metrics.read_text(encoding="utf-8").splitlines()]
    assert steps == list(range(1, stopped["step"]))
    saved = context.entry.complete_checkpoints()
    assert [step for step, _ in saved] == steps[-1:]
    assert f"The checkpoint of step {steps[-1]} is good" in str(told.value)
    assert "-s stages.train.optimizer.learning_rate=" in str(told.value)
    from safetensors.torch import load_file

    weights = load_file(str(saved[-1][1] / "model.safetensors"))
    assert all(bool(value.isfinite().all()) for name, value in weights.items() if "embed_tokens" not in name)


def test_a_row_whose_gradient_is_no_number_is_named_though_its_loss_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Steep(MdlmObjective):
        """Adds sqrt(0) times the row's share: the value is 0, the gradient is infinite times 0."""

        def loss(self, denoiser: Any, rows: Any, draws: Any) -> Loss:
            found = super().loss(denoiser, rows, draws)
            weight = next(denoiser.parameters()).sum()
            hit: Tensor = (rows.sample_B == 3).any()
            return Loss(found.numerator + ((weight - weight.detach()).square().sqrt() if hit else 0.0), found.denominator)

    monkeypatch.setattr("dllm_run.runtime.train.build", lambda word: Steep(word) if isinstance(word, Mdlm) else build(word))
    context = context_of(prepared(tmp_path, poisoned=False), "train", tmp_path)
    with pytest.raises(
        Failure, match=r"the gradient is nan at step \d, and the optimizer has not moved: row 3 \(micro batch [12]\): gradient nan\."
    ):
        train(context)
    stopped = json.loads((context.attempt.path / "stopped.json").read_text(encoding="utf-8"))
    assert len(stopped["rows"]) == 4 and [one["row"] for one in stopped["rows"] if one["gradient"] == "nan"] == [3]


def test_a_loss_above_the_limit_stops_the_run_with_the_rows_by_their_loss(tmp_path: Path) -> None:
    plan = prepared(tmp_path, "stages.train.stop={loss_above: 0.1}", poisoned=False)
    context = context_of(plan, "train", tmp_path)
    with pytest.raises(
        Failure, match=r"the loss is [\d.]+, above 0\.1 at step 1, and the optimizer has not moved: row .* No checkpoint was"
    ):
        train(context)
    found = [one["loss"] for one in json.loads((context.attempt.path / "stopped.json").read_text(encoding="utf-8"))["rows"]]
    assert len(found) == 4 and found == sorted(found, reverse=True)


def test_limits_that_are_not_met_change_no_weight(tmp_path: Path) -> None:
    found = []
    for name, flags in (("a", ()), ("b", ("stages.train.stop={loss_above: 1e9, spike: 100.0, window: 2}",))):
        (tmp_path / name).mkdir()
        context = context_of(prepared(tmp_path / name, *flags, poisoned=False), "train", tmp_path / name)
        train(context)
        found.append((context.entry.output("model") / "model.safetensors").read_bytes())
    assert found[0] == found[1]


def test_a_run_that_continues_compares_with_the_steps_of_the_attempt_before(tmp_path: Path) -> None:
    """Three steps before and a window of three: the first step of the second attempt is compared already."""
    plan = prepared(tmp_path, "stages.train.duration=3 steps", poisoned=False)
    first = context_of(plan, "train", tmp_path)
    train(first)
    longer = prepared(tmp_path, "stages.train.stop={spike: 1.0001, window: 3, patience: 1}", poisoned=False)
    second = context_of(longer, "train", tmp_path)
    second.entry.checkpoints.parent.mkdir(exist_ok=True)
    first.entry.checkpoints.rename(second.entry.checkpoints)
    old = second.entry.new_attempt()
    old.metrics.write_text("".join(f'{{"step": {step}, "loss": 0.001}}\n' for step in (1, 2, 3)), encoding="utf-8")
    with pytest.raises(Failure, match=r"more than 1\.0001 times the median 0\.001 of 3 steps at step 4"):
        train(second)


@pytest.mark.parametrize(
    ("losses", "stop", "stops"),
    [
        pytest.param([1, 1, 5], Stop(loss_above=4), True, id="above"),
        pytest.param([1, 1, 4], Stop(loss_above=4), False, id="not above"),
        pytest.param([1, 5, 5], Stop(loss_above=4, patience=2), True, id="twice"),
        pytest.param([5, 1, 5], Stop(loss_above=4, patience=2), False, id="not in a row"),
        pytest.param([5], Stop(loss_above=4, patience=2), False, id="only once yet"),
        pytest.param([1, 2, 9, 4.1], Stop(spike=2, window=3), True, id="over the median, not the mean"),
        pytest.param([1, 2, 9, 3.9], Stop(spike=2, window=3), False, id="below twice the median"),
        pytest.param([2, 9, 9], Stop(spike=2, window=3), False, id="no window yet"),
        pytest.param([1, 1, 1, 9, 9], Stop(spike=2, window=3, patience=2), True, id="each against its own window"),
        pytest.param([1, 1, 9, 9], Stop(spike=2, window=3, patience=2), False, id="the first has no window"),
        pytest.param([100, 1, 1, 1.9], Stop(spike=2, window=2), False, id="older steps do not count"),
    ],
)
def test_limits(losses: list[float], stop: Stop, stops: bool) -> None:
    assert (beyond(losses, stop) is not None) is stops


def test_a_single_row_has_the_noise_that_it_has_among_others() -> None:
    from dllm_run.runtime.build import build
    from dllm_run.runtime.noise import Stream
    from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm

    all_rows, objective = rows([[1, 2, 3], [4, 5], [6, 7, 8, 9]], samples=[4, 0, 2]), build(Mdlm(time_sampling="stratified"))
    whole = objective.draw(Stream(3, "noise"), all_rows)
    for index in range(3):
        alone = objective.draw(Stream(3, "noise"), single(all_rows, index))
        assert torch.equal(alone.time_B, whole.time_B[index : index + 1])
        assert torch.equal(alone.mask_BL, whole.mask_BL[index : index + 1])
