"""Adapters and quantised weights: what is trained, what is saved, and that it comes back the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from runtime_toys import compiled, context_of, run_stage, stage_id, tiny_llama
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from dllm_run.runtime.adapters import Adapter, adapter_in, freeze, fresh_adapter
from dllm_run.runtime.build import build
from dllm_run.runtime.checkpoint import published_format, save
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.models import load
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.seen import everyone
from dllm_run.specs.field import fields_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.families.bert import Bert
from dllm_run.specs.vocabulary.families.llada import Llada
from dllm_run.specs.vocabulary.lora import Lora

V = 98


def tokens() -> Tensor:
    return torch.randint(0, V - 1, (2, 7), generator=torch.Generator().manual_seed(0))


def logits_of(network: Any) -> Tensor:
    full = torch.ones(2, 7, dtype=torch.bool)
    with torch.no_grad():
        found = Denoiser(network.eval(), mask_token=V - 1).logits(tokens(), everyone(full), full)
    return found[:, : V - 1]


def stirred(network: Any, amount: float = 0.1) -> None:
    """Give what is trained other values."""
    generator = torch.Generator().manual_seed(7)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += amount * torch.randn(parameter.shape, generator=generator)


def adapted(lora: Lora | None = None, seed: int = 0) -> tuple[Any, Adapter]:
    network = tiny_llama(vocabulary=V).network
    freeze(network)
    return network, fresh_adapter(network, (lora or Lora(r=4)).completed(), Stream(seed, "adapter"), None)


def test_a_fresh_adapter_changes_nothing_and_alone_is_trained() -> None:
    before = logits_of(tiny_llama(vocabulary=V).network)
    network, _ = adapted()
    torch.testing.assert_close(logits_of(network), before, rtol=0, atol=0)
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 7 * 2 and all("lora_" in name for name in trained), "two factors, seven matrices, two layers"
    assert type(network).__name__ == "LlamaForCausalLM"


def test_its_first_factors_are_drawn_from_the_stream_and_from_nothing_else() -> None:
    def first(seed: int) -> Tensor:
        network, _ = adapted(seed=seed)
        return next(parameter for name, parameter in network.named_parameters() if "lora_A" in name).detach()

    state = torch.get_rng_state()
    assert torch.equal(first(0), first(0)) and not torch.equal(first(0), first(1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("option", "value", "theirs"),
    [
        ("r", 3, ("r", 3)),
        ("alpha", 5, ("lora_alpha", 5)),
        ("alpha", None, ("lora_alpha", 64)),
        ("dropout", 0.25, ("lora_dropout", 0.25)),
        ("targets", ("q_proj", "v_proj"), ("target_modules", {"q_proj", "v_proj"})),
        ("bias", "lora_only", ("bias", "lora_only")),
        ("modules_to_save", ("lm_head",), ("modules_to_save", ["lm_head"])),
        ("rslora", True, ("use_rslora", True)),
        ("dora", True, ("use_dora", True)),
        ("init", "gaussian", ("init_lora_weights", "gaussian")),
    ],
)
def test_every_option_reaches_peft(option: str, value: Any, theirs: tuple[str, Any]) -> None:
    _, adapter = adapted(Lora(**{option: value}))
    assert getattr(adapter.config, theirs[0]) == theirs[1]


def test_every_option_is_in_that_table() -> None:
    options = {mark.args[1][index][0] for mark in test_every_option_reaches_peft.pytestmark for index in range(len(mark.args[1]))}  # type: ignore[attr-defined]
    assert options == {info.name for info in fields_of(Lora)}


@pytest.mark.parametrize("lora", [Lora(r=4), Lora(r=4, dora=True), Lora(r=2, modules_to_save=("lm_head",), bias="all")], ids=str)
def test_a_saved_adapter_comes_back_the_same_and_plain_peft_reads_it(tmp_path: Path, lora: Lora) -> None:
    network, _ = adapted(lora)
    stirred(network)
    expected = logits_of(network)
    save(network, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    other = tiny_llama(vocabulary=V).network
    adapter_in(other, tmp_path, None)
    torch.testing.assert_close(logits_of(other), expected, rtol=0, atol=0)
    plain = PeftModel.from_pretrained(tiny_llama(vocabulary=V).network, str(tmp_path))
    torch.testing.assert_close(logits_of(plain.base_model.model), expected, rtol=1e-6, atol=1e-6)


def test_an_adapter_folded_in_gives_the_logits_that_it_gave_beside() -> None:
    network, adapter = adapted(Lora(r=4, rslora=True))
    network.double()
    stirred(network, 0.3)
    expected = logits_of(network)
    assert float((expected - logits_of(tiny_llama(vocabulary=V).network.double())).abs().max()) > 0.1
    adapter.fold()
    torch.testing.assert_close(logits_of(network), expected, rtol=1e-6, atol=1e-6)
    assert not any("lora" in name for name, _ in network.named_parameters())


def test_only_the_rows_asked_for_are_trained_of_the_embeddings(tmp_path: Path) -> None:
    network = tiny_llama(vocabulary=V).network
    freeze(network)
    fresh_adapter(network, Lora(r=2, alpha=4), Stream(0, "adapter"), None, rows=(V - 1,))
    trained = {name: parameter.numel() for name, parameter in network.named_parameters() if parameter.requires_grad and "lora" not in name}
    assert list(trained.values()) == [32]
    stirred(network)
    before = tokens()
    before[:, 3] = V - 1
    full = torch.ones(2, 7, dtype=torch.bool)

    def masked(network: Any) -> Tensor:
        with torch.no_grad():
            return Denoiser(network.eval(), mask_token=V - 1).logits(before, everyone(full), full)[:, : V - 1]

    expected = masked(network)
    save(network, tmp_path)
    other = tiny_llama(vocabulary=V).network
    adapter_in(other, tmp_path, None)
    torch.testing.assert_close(masked(other), expected, rtol=0, atol=0)


def test_an_adapter_of_a_family_has_the_names_of_its_own_files(tmp_path: Path) -> None:
    from dllm_run.runtime.families.llada import FORMAT

    config = build(Llada(layers=2, width=32, heads=2, mlp=48))
    config.vocab_size = V
    config.published = FORMAT.original(config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config)
    plain = {name: value.clone() for name, value in network.state_dict().items()}
    freeze(network)
    fresh_adapter(network, Lora(r=2, alpha=4), Stream(0, "adapter"), published_format(network))
    stirred(network)
    expected = logits_of(network)
    save(network, tmp_path)
    said = json.loads((tmp_path / "adapter_config.json").read_text())
    assert set(said["target_modules"]) == {"q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out"}
    names = set(load_file(str(tmp_path / "adapter_model.safetensors")))
    assert "base_model.model.model.transformer.blocks.1.attn_out.lora_A.weight" in names
    other = AutoModelForCausalLM.from_config(config)
    other.load_state_dict(plain)
    adapter_in(other, tmp_path, FORMAT)
    torch.testing.assert_close(logits_of(other), expected, rtol=0, atol=0)


def test_an_adapter_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    network, _ = adapted()
    save(network, tmp_path)
    with pytest.raises(Failure, match=r"model\.layers\.1\..*which the model does not have"):
        adapter_in(tiny_llama(vocabulary=V, layers=1).network, tmp_path, None)
    with pytest.raises(Failure, match="does not fit"):
        adapter_in(tiny_llama(vocabulary=V, width=64).network, tmp_path, None)
    with pytest.raises(Failure, match="holds no adapter"):
        adapter_in(tiny_llama(vocabulary=V).network, tmp_path.parent, None)


def test_targets_that_are_nowhere_are_a_failure_that_names_them() -> None:
    network = tiny_llama(vocabulary=V).network
    with pytest.raises(Failure, match="nosuch"):
        fresh_adapter(network, Lora(targets=("nosuch",), alpha=1), Stream(0, "adapter"), None)


def test_biases_that_two_layers_share_are_saved(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    def network() -> Any:
        config = BertConfig(vocab_size=V, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return BertForMaskedLM(config)

    one = network()
    freeze(one)
    fresh_adapter(one, Lora(r=2, bias="all").completed(), Stream(0, "adapter"), None)
    stirred(one)
    save(one, tmp_path)
    other = network()
    adapter_in(other, tmp_path, None)
    torch.testing.assert_close(logits_of(other), logits_of(one), rtol=0, atol=0)


def test_it_names_the_weights_below_it(tmp_path: Path) -> None:
    network = tiny_llama(vocabulary=V).network
    freeze(network)
    fresh_adapter(network, Lora(r=2).completed(), Stream(0, "adapter"), None, base="org/weights")
    save(network, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/weights"


def test_weights_in_bf16_take_what_is_folded_into_them_in_float32(tmp_path: Path) -> None:
    """Rounded once, not once more before the sum: half a unit of the last of 8 bits of the sum is the most that may be lost."""
    text = SPEC.format(family="llama", model="lora: {r: 4}") + THIRD.format(model="adapter: merge, dtype: bfloat16")
    plan = compiled(tmp_path, text)
    for name in ("first.data", "first", "second"):
        run_stage(plan, name, tmp_path)
    context = context_of(plan, "third", tmp_path)
    body: Any = context.stage.body
    folded = load(context, body.model).denoiser.network
    exact = load(context, Reference(stage_id(plan, "second"), "model"), whole=True).denoiser.network.state_dict()
    for name, value in folded.state_dict().items():
        assert value.dtype == torch.bfloat16 and torch.equal(value, exact[name].bfloat16()), name


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_a_matrix_that_both_ends_share_gets_no_adapter_at_one_of_them(target: str) -> None:
    network = tiny_llama(vocabulary=V).network
    with pytest.raises(Failure, match=f"{target} shares its matrix"):
        fresh_adapter(network, Lora(r=2, targets=(target,)).completed(), Stream(0, "adapter"), None)


# --- through a plan

SPEC = """
version: 1
name: toy
data: {{rows: {{sources: [{{generate: sudoku}}], limit: 64, max_length: 32}}}}
stages:
  first:
    kind: pretrain
    model: {{scratch: {{family: {family}, layers: 2, width: 32, heads: 2}}, tokenizer: characters}}
    data: "${{data.rows}}"
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: 1e-3}}
    duration: 2 steps
  second:
    kind: pretrain
    model: {{from: "${{stages.first}}", {model}}}
    data: "${{data.rows}}"
    objective: {{type: mdlm, weighting: uniform, time_sampling: stratified}}
    batch: 8
    optimizer: {{learning_rate: 1e-2}}
    duration: 24 steps
    checkpoint: {{every: 12 steps}}
"""
THIRD = """  third:
    kind: pretrain
    model: {{from: "${{stages.second}}", {model}}}
    data: "${{data.rows}}"
    objective: mdlm
    batch: 8
    optimizer: {{learning_rate: 1e-2}}
    duration: 2 steps
  look: {{kind: sample, model: "${{stages.third}}", prompts: ["12"], max_new_tokens: 4, sampler: llada}}
"""


def network_after(plan: Any, name: str, folder: Path) -> Any:
    """The network that a consumer of a stage gets."""
    context = context_of(plan, name, folder)
    return load(context, Reference(context.stage_id, "model")).denoiser.network


@pytest.mark.parametrize("family", ["llama", "llada", "bert"])
def test_a_stage_with_an_adapter_writes_it_alone_and_its_readers_lay_it_over_the_base(tmp_path: Path, family: str) -> None:
    plan = compiled(tmp_path, SPEC.format(family=family, model="lora: {r: 4}"))
    for name in ("first.data", "first", "second"):
        context = run_stage(plan, name, tmp_path)
    files = {path.name for path in context.entry.output("model").iterdir()}
    assert "adapter_model.safetensors" in files and "tokenizer.json" in files and "model.safetensors" not in files
    first, second = (network_after(plan, name, tmp_path) for name in ("first", "second"))
    trained = {name for name, _ in second.named_parameters() if "lora" in name}
    assert trained and float((logits_of(first) - logits_of(second)).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("model", "whole"),
    [
        pytest.param("adapter: continue", False, id="continue"),
        pytest.param("adapter: merge", True, id="merge"),
        pytest.param("adapter: merge, lora: {r: 2}", False, id="merge-lora"),
        pytest.param("adapter: new, lora: {r: 2}", False, id="new"),
    ],
)
def test_what_becomes_of_an_adapter_is_what_the_spec_says(tmp_path: Path, model: str, whole: bool) -> None:
    text = SPEC.format(family="llama", model="lora: {r: 4}") + THIRD.format(model=model)
    plan = compiled(tmp_path, text)
    for name in ("first.data", "first", "second"):
        run_stage(plan, name, tmp_path)
    context = context_of(plan, "third", tmp_path)
    body: Any = context.stage.body
    before, below = load(context, body.model).denoiser.network, network_after(plan, "second", tmp_path)
    base = network_after(plan, "first", tmp_path)
    torch.testing.assert_close(logits_of(before), logits_of(base if "new" in model else below), rtol=1e-5, atol=1e-5)
    done = run_stage(plan, "third", tmp_path)
    assert (done.entry.output("model") / "model.safetensors").is_file() is whole
    after = network_after(plan, "third", tmp_path)
    ranks = {parameter.shape[0] for name, parameter in after.named_parameters() if "lora_A" in name}
    assert ranks == ({4} if model == "adapter: continue" else set() if whole else {2})
    assert float((logits_of(after) - logits_of(before)).abs().max()) > 1e-4
    run_stage(plan, "look", tmp_path)


def test_an_adapter_that_goes_on_drops_what_the_model_says_and_not_what_it_did_before(tmp_path: Path) -> None:
    lora = "lora: {r: 4, dropout: 0.5}"
    for further, rate in (("adapter: continue", 0.0), ("adapter: continue, dropout: 0.25", 0.25)):
        plan = compiled(tmp_path, SPEC.format(family="llama", model=lora) + THIRD.format(model=further))
        for name in ("first.data", "first", "second"):
            run_stage(plan, name, tmp_path)
        context = context_of(plan, "third", tmp_path)
        body: Any = context.stage.body
        network = load(context, body.model).denoiser.network
        assert {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)} <= ({rate} if rate else set())
        assert body.model.drops is (rate > 0) and bool(body.promoted()) is (rate > 0)


def test_alpha_written_and_alpha_that_follows_are_one_stage(tmp_path: Path) -> None:
    plans = [
        compiled(tmp_path, SPEC.format(family="llama", model=model)) for model in ("lora: {r: 4}", "lora: {r: 4, alpha: 8}", "lora: 4")
    ]
    assert len({stage_id(plan, "second") for plan in plans}) == 1


def test_plain_peft_reads_the_adapter_of_a_masked_model(tmp_path: Path) -> None:
    def network() -> Any:
        config = build(Bert(layers=2, width=32, heads=2, mlp=48))
        config.vocab_size = V
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return AutoModelForMaskedLM.from_config(config)

    mine = network()
    freeze(mine)
    fresh_adapter(mine, Lora(r=2, alpha=4), Stream(0, "adapter"), None)
    stirred(mine)
    save(mine, tmp_path)
    plain = PeftModel.from_pretrained(network(), str(tmp_path))
    torch.testing.assert_close(logits_of(plain.base_model.model), logits_of(mine), rtol=1e-6, atol=1e-6)


def test_a_whole_model_is_folded_in_float32_and_counts_every_parameter(tmp_path: Path) -> None:
    plan = compiled(tmp_path, SPEC.format(family="llama", model="lora: {r: 4}, dtype: bfloat16, quantization: nf4"))
    for name in ("first.data", "first", "second"):
        context = run_stage(plan, name, tmp_path)
    whole = load(context, Reference(context.stage_id, "model"), whole=True).denoiser.network
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}
    results = json.loads(context.entry.results_file.read_text())
    adapter = sum(value.numel() for value in load_file(str(context.entry.output("model") / "adapter_model.safetensors")).values())
    assert results["parameters"] == whole.num_parameters() + adapter


@pytest.mark.parametrize("quantization", ["nf4", "int8", "{type: nf4, double: false}"])
def test_quantised_weights_are_close_to_the_whole_ones_and_train_through_their_adapter(tmp_path: Path, quantization: str) -> None:
    plan = compiled(tmp_path, SPEC.format(family="llama", model=f"quantization: {quantization}, lora: {{r: 4}}"))
    for name in ("first.data", "first"):
        run_stage(plan, name, tmp_path)
    context = context_of(plan, "second", tmp_path)
    body: Any = context.stage.body
    whole, packed = network_after(plan, "first", tmp_path), load(context, body.model).denoiser.network
    stored = {parameter.dtype for parameter in packed.model.layers.parameters() if parameter.dim() > 1}
    assert stored == ({torch.int8} if quantization == "int8" else {torch.uint8})
    distance = float((logits_of(packed) - logits_of(whole)).norm() / logits_of(whole).norm())
    assert 0 < distance < 0.35, distance
    done = run_stage(plan, "second", tmp_path)
    wide = compiled(tmp_path, SPEC.format(family="llama", model="lora: {r: 4}"))
    # The same noise and the same adapter beside whole weights: rounding alone sets the two apart.
    for mine, theirs in zip(losses_of(done), losses_of(run_stage(wide, "second", tmp_path)), strict=True):
        assert mine == pytest.approx(theirs, rel=0.02)
    after = network_after(plan, "second", tmp_path)
    assert all(float(parameter.detach().abs().max()) > 0 for name, parameter in after.named_parameters() if "lora_B" in name)


def losses_of(context: Any) -> list[float]:
    return [line["loss"] for line in map(json.loads, context.attempt.metrics.read_text().splitlines()) if "loss" in line]
