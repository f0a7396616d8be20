"""Training through Trainer against a loop written out in plain torch: the same weights whatever the micro batch."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from runtime_toys import compiled, context_of, run_stage
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BertConfig, GPT2Config, LlamaConfig, Qwen3Config

from dllm_run.runtime.build import build
from dllm_run.runtime.context import Context
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.history import history
from dllm_run.runtime.likelihood import Scored, averaged, whole_rows
from dllm_run.runtime.models import Loaded, load
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.prepared import HELD_OUT, TRAIN, Split
from dllm_run.runtime.train import train
from dllm_run.runtime.training_rows import TrainingRows, collate, rows_of
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.training import Training

# An epsilon far above the rounding of gradients, so that Adam's quotient does not blow it up.
SPEC = """
version: 1
name: toy
seed: 5
model: {scratch: {family: llama, layers: 2, width: 32, heads: 2, positions: 64}, tokenizer: characters}
data:
  toy: {sources: [./texts.jsonl], holdout: 3 rows, max_length: 20}
stages:
  train:
    kind: pretrain
    data: ${data.toy}
    objective: {type: mdlm, time_sampling: stratified}
    batch: {global: 4, micro: 4}
    optimizer: {learning_rate: 1e-2, epsilon: 1e-3, weight_decay: 0.1, warmup: 2 steps, max_grad_norm: 0.5}
    duration: 4 steps
    evaluate: {every: 2 steps}
    checkpoint: {every: 2 steps}
compute: {threads: 1}
"""
STEPS = 4
RAGGED = "".join(f'{{"text": "{"abcdefghij" * 2!s:.{2 + 3 * index}}"}}\n' for index in range(9))


def trained(folder: Path, *flags: str) -> tuple[Context, dict[str, Tensor]]:
    plan = prepared(folder, *flags)
    context = context_of(plan, "train", folder)
    train(context)
    return context, safetensors.torch.load_file(str(context.entry.output("model") / "model.safetensors"))


def prepared(folder: Path, *flags: str) -> Plan:
    folder.mkdir(exist_ok=True)
    (folder / "texts.jsonl").write_text(RAGGED, encoding="utf-8")
    plan = compiled(folder, SPEC, *flags)
    run_stage(plan, "train.data", folder)
    return plan


def written_out(folder: Path, clip: float, *flags: str) -> tuple[list[float], dict[str, Tensor]]:
    """The same training by hand: whole batches, AdamW, clipping, and a warm-up of two steps."""
    plan = prepared(folder, *flags)
    context = context_of(plan, "train", folder)
    body = context.stage.body
    assert isinstance(body, Training)
    denoiser, stream = load(context, body.model).denoiser.train(), Stream(context.seed, "noise")
    objective = build(body.objective)
    split = Split.open(context.output_of(body.data), TRAIN)  # type: ignore[arg-type]
    rows = TrainingRows(split, seed=context.seed, batch=4, steps=STEPS)
    names = dict(denoiser.network.named_parameters())
    groups = [
        {"params": [value for name, value in names.items() if "norm" not in name], "weight_decay": 0.1},
        {"params": [value for name, value in names.items() if "norm" in name], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.999), eps=1e-3)
    losses = []
    for step in range(STEPS):
        batch = rows_of(collate([rows[place] for place in range(4 * step, 4 * step + 4)], pad=0, batch=4, vocabulary=98))
        loss = objective.loss(denoiser, batch, objective.draw(stream, batch))
        mean = loss.numerator / loss.denominator
        optimizer.zero_grad()
        mean.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(denoiser.parameters(), clip)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * min(1.0, step / 2)
        optimizer.step()
        losses.append(mean.item())
    return losses, {name: value.detach() for name, value in names.items()}


@pytest.mark.parametrize(("normalise", "clip"), [("token", 0.05), ("token", 0), ("sequence", 0), ("batch", 1000)])
@pytest.mark.parametrize("micro", [1, 2, 4])
def test_training_equals_a_loop_in_plain_torch_whatever_the_micro_batch(micro: int, normalise: str, clip: float, tmp_path: Path) -> None:
    # Clipping hides the scale of a gradient, so it is left out of most rows.
    flags = (
        f"stages.train.batch.micro={micro}",
        f"stages.train.objective.normalise={normalise}",
        f"stages.train.optimizer.max_grad_norm={clip}",
    )
    context, found = trained(tmp_path / "trainer", *flags)
    losses, expected = written_out(tmp_path / "loop", clip, *flags)
    assert [loss for _, loss in history(context.entry).train] == pytest.approx(losses, rel=1e-5)
    assert found.keys() == expected.keys() - {"lm_head.weight"}
    for name, weight in found.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=2e-6)


SHARED: dict[str, Any] = {"vocab_size": 98, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**SHARED, max_position_embeddings=64),
    "bert": BertConfig(**SHARED, max_position_embeddings=64),
    "qwen3": Qwen3Config(**SHARED, num_key_value_heads=1, head_dim=16, max_position_embeddings=64, tie_word_embeddings=True),
    "gpt2": GPT2Config(vocab_size=98, n_embd=32, n_layer=2, n_head=2, n_positions=64),
}


def one_step(folder: Path, network: Any, micro: int, *flags: str) -> dict[str, Tensor]:
    """The weights after one step on 8 rows, in float64 all through."""
    network.save_pretrained(folder / "weights")
    model = "stages.train.model={from: ./weights, tokenizer: characters}"
    steps = ("stages.train.duration=1 steps", "stages.train.optimizer.warmup=0.0", "stages.train.optimizer.max_grad_norm=0")
    events = ("stages.train.evaluate=null", "stages.train.checkpoint.every=1 steps", f"stages.train.batch={{global: 8, micro: {micro}}}")
    return trained(folder, model, *steps, *events, *flags)[1]


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("llama", ()),
        ("bert", ()),
        ("qwen3", ()),
        ("gpt2", ()),
        ("qwen3", ("stages.train.objective.type=dream", "stages.train.model.logit_shift=1")),
        ("llama", ("stages.train.objective={type: bd3lm, block_size: 4}", "stages.train.model.attention=block_causal")),
        ("llama", ("stages.train.objective.complementary=true",)),
    ],
    ids=["llama", "bert", "qwen3", "gpt2", "dream", "bd3lm", "complementary"],
)
def test_a_step_gives_the_same_weights_however_its_rows_are_accumulated(
    kind: str, flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # transformers divides by the accumulation for some classes and not for others: both kinds are here.
    def in_float64(context: Context, model: Any) -> Loaded:
        loaded = load(context, model)
        loaded.denoiser.double()
        return loaded

    monkeypatch.setattr("dllm_run.runtime.train.load", in_float64)
    auto = AutoModelForMaskedLM if kind == "bert" else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = auto.from_config(CONFIGS[kind])
    before = {name: value.double() for name, value in network.state_dict().items()}
    whole, *parts = (one_step(tmp_path / str(micro), network, micro, *flags) for micro in (8, 4, 2))
    moved = max(float((whole[name] - before[name]).abs().max()) for name in whole)
    assert moved > 1e-4
    for part in parts:
        for name, weight in whole.items():
            torch.testing.assert_close(part[name], weight, rtol=0, atol=1e-12)


def test_block_diffusion_learns_and_is_evaluated_by_its_own_bound(tmp_path: Path) -> None:
    flags = (
        "stages.train.objective={type: bd3lm, block_size: 4, time_sampling: stratified}",
        "model.attention=block_causal",
        "stages.train.duration=12 steps",
        "stages.train.evaluate.every=6 steps",
    )
    context, found = trained(tmp_path, *flags)
    body = context.stage.body
    assert isinstance(body, Training)
    (_, first), (_, last) = history(context.entry).held_out
    assert last < first
    denoiser = load(context, body.model).denoiser.eval()
    denoiser.network.load_state_dict(found, strict=False)
    split = Split.open(context.output_of(body.data), HELD_OUT)  # type: ignore[arg-type]
    scored = [Scored(tokens=split.sequence(index).tokens, id=index) for index in range(len(split))]
    stream = Stream(context.seed, "evaluate")
    bounds = averaged(build(body.objective).bound, denoiser, scored, stream=stream, samples=1, batch=1, across=True)
    tokens = sum(len(item.tokens) for item in scored)
    assert last == pytest.approx(sum(bound.nll for bound in bounds) / tokens, rel=1e-5)


def test_training_moves_every_weight(tmp_path: Path) -> None:
    context, found = trained(tmp_path)
    body = context.stage.body
    assert isinstance(body, Training)
    for name, weight in load(context, body.model).denoiser.network.state_dict().items():
        if name in found:
            assert float((weight - found[name]).abs().max()) > 1e-4, name


def test_the_held_out_bound_is_that_of_the_saved_weights_and_evaluated_once_a_time(tmp_path: Path) -> None:
    context, found = trained(tmp_path, "stages.train.batch.micro=2")
    body = context.stage.body
    assert isinstance(body, Training)
    assert [step for step, _ in history(context.entry).held_out] == [2, 4]
    assert context.attempt.metrics.read_text(encoding="utf-8").count('"bound"') == 2
    denoiser = load(context, body.model).denoiser.eval()
    denoiser.network.load_state_dict(found, strict=False)
    split = Split.open(context.output_of(body.data), HELD_OUT)  # type: ignore[arg-type]
    scored = [Scored(tokens=split.sequence(index).tokens, id=index) for index in range(len(split))]
    stream = Stream(context.seed, "evaluate")
    bounds = averaged(whole_rows, denoiser, scored, stream=stream, samples=1, batch=1, across=True)
    tokens = sum(len(item.tokens) for item in scored)
    assert history(context.entry).held_out[-1][1] == pytest.approx(sum(bound.nll for bound in bounds) / tokens, rel=1e-5)


def test_evaluating_on_the_way_changes_no_weight(tmp_path: Path) -> None:
    with_it, without = trained(tmp_path / "a")[1], trained(tmp_path / "b", "stages.train.evaluate=null")[1]
    assert all(torch.equal(with_it[name], without[name]) for name in with_it)


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    context, _ = trained(tmp_path, "stages.train.checkpoint={every: 1 steps, keep: 2}")
    assert [step for step, _ in context.entry.complete_checkpoints()] == [3, 4]
    assert sorted(path.name for path in context.entry.checkpoints.iterdir()) == ["step-3", "step-4"]


def test_the_global_generator_decides_nothing_without_dropout(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = trained(tmp_path / "a")[1]
    torch.manual_seed(2)
    two = trained(tmp_path / "b")[1]
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_gradient_checkpointing_changes_rounding_only(tmp_path: Path) -> None:
    plain, checkpointed = trained(tmp_path / "a")[1], trained(tmp_path / "b", "compute.gradient_checkpointing=true")[1]
    for name in plain:
        torch.testing.assert_close(plain[name], checkpointed[name], rtol=0, atol=2e-6)


def test_the_attention_kernel_changes_rounding_only(tmp_path: Path) -> None:
    sdpa, eager = trained(tmp_path / "a")[1], trained(tmp_path / "b", "compute.attention_kernel=eager")[1]
    for name in sdpa:
        torch.testing.assert_close(sdpa[name], eager[name], rtol=0, atol=1e-5)


def test_training_before_the_data_are_prepared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(RAGGED, encoding="utf-8")
    context = context_of(compiled(tmp_path, SPEC), "train", tmp_path)
    with pytest.raises(Failure, match=r"stage train\.data .* has no result in this store yet: run it first"):
        train(context)


def test_a_file_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(RAGGED, encoding="utf-8")
    plan = compiled(tmp_path, SPEC)
    (tmp_path / "texts.jsonl").write_text(RAGGED + RAGGED, encoding="utf-8")
    with pytest.raises(Failure, match=r"texts\.jsonl is not the file that the plan was made for"):
        run_stage(plan, "train.data", tmp_path)
