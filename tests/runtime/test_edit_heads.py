"""Heads for edits: what they begin as, what they read, and folders they are saved to and loaded from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from edit_toys import edit_model
from runtime_toys import tiny_llama
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from dllm_run.runtime.checkpoint import from_folder
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.edit_heads import (
    INSERT,
    SUBSTITUTE,
    add_heads,
    has_heads,
    leave_unread,
    load_heads,
    log_rate,
    mark,
    rates,
    read,
    token_entropy,
    token_logits,
)
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.seen import everyone
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.word import using

TOKENS = torch.tensor([[1, 5, 2, 7, 3], [4, 4, 1, 0, 0]])
VALID = torch.tensor([[True] * 5, [True, True, True, False, False]])


@dataclass(frozen=True, slots=True, kw_only=True)
class NormedLate(Family):
    """ModernBERT as dLLM's edit heads read it."""

    word: ClassVar[str] = "modernbert"
    model_types: ClassVar[tuple[str, ...]] = ("modernbert",)
    unread_norm: ClassVar[str] = "final_norm"


def sized(cls: Any, config: Any, **sizes: int) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = cls(config(vocab_size=12, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0, **sizes)).eval()
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return network


def bert() -> Any:
    return sized(BertForMaskedLM, BertConfig, intermediate_size=48)


def modern_bert() -> Any:
    return sized(
        ModernBertForMaskedLM, ModernBertConfig, intermediate_size=48, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
    )


def with_heads(network: Any) -> Denoiser:
    add_heads(network, Stream(0, "edit heads"))
    return Denoiser(network, mask_token=11)


# --- what they begin as


def test_names_and_shapes_are_those_of_published_checkpoints() -> None:
    state = with_heads(tiny_llama(vocabulary=12).network).network.state_dict()
    found = {name: tuple(value.shape) for name, value in state.items() if not name.startswith(("model.", "lm_head."))}
    assert found == {
        "sub_logits.weight": (12, 32),
        "ins_logits.weight": (12, 32),
        "rate_heads.0.weight": (3, 32),
        "rate_heads.0.bias": (3,),
    }


def test_both_heads_of_tokens_begin_as_the_output_matrix_and_its_bias_and_are_their_own() -> None:
    network = with_heads(bert()).network
    output = network.get_output_embeddings()
    for head in (network.sub_logits, network.ins_logits):
        assert torch.equal(head.weight, output.weight) and torch.equal(head.bias, output.bias)
        assert head.weight is not output.weight and head.bias is not output.bias


def test_fresh_rates_hang_on_the_stream_alone() -> None:
    first, again, other = tiny_llama(vocabulary=12).network, tiny_llama(vocabulary=12).network, tiny_llama(vocabulary=12).network
    torch.manual_seed(0)
    before = torch.get_rng_state()
    add_heads(first, Stream(0, "edit heads"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    add_heads(again, Stream(0, "edit heads"))
    add_heads(other, Stream(1, "edit heads"))
    assert torch.equal(first.rate_heads[0].weight, again.rate_heads[0].weight)
    assert not torch.equal(first.rate_heads[0].weight, other.rate_heads[0].weight)


# --- what they read


def plain_rates(network: Any, features_BLD: Tensor) -> Tensor:
    return torch.nn.functional.softplus(features_BLD @ network.rate_heads[0].weight.T + network.rate_heads[0].bias)


def test_rates_are_read_where_a_token_stands() -> None:
    denoiser = edit_model()
    seen = everyone(VALID)
    found = read(denoiser, TOKENS, seen)
    torch.testing.assert_close(rates(found), plain_rates(denoiser.network, denoiser.body(TOKENS, seen)))
    assert found.about_BLD is found.features_BLD


def test_of_shifted_weights_substitution_and_deletion_are_read_one_place_before_and_insertion_is_not() -> None:
    """As upstream: the first place has rates 0 for both."""
    denoiser = edit_model(shift=1)
    seen = everyone(VALID)
    hidden_BLD = denoiser.body(TOKENS, seen)
    plain = plain_rates(denoiser.network, hidden_BLD)
    expected = plain.clone()
    expected[:, 1:, :2], expected[:, 0, :2] = plain[:, :-1, :2], 0
    found = read(denoiser, TOKENS, seen)
    torch.testing.assert_close(rates(found)[VALID], expected[VALID])
    torch.testing.assert_close(found.features_BLD, hidden_BLD)
    torch.testing.assert_close(found.about_BLD[:, 1:][VALID[:, 1:]], hidden_BLD[:, :-1][VALID[:, 1:]])


def test_behind_a_transform_the_heads_read_what_the_output_matrix_reads() -> None:
    """BERT: dense, activation, norm. Fresh heads then give the logits of the language model."""
    denoiser = with_heads(bert())
    network, seen = denoiser.network, everyone(VALID)
    found = read(denoiser, TOKENS, seen)
    transformed = network.cls.predictions.transform(network.bert(TOKENS, attention_mask=VALID.long()).last_hidden_state)
    torch.testing.assert_close(found.features_BLD[VALID], transformed[VALID])
    logits = network(TOKENS, attention_mask=VALID.long()).logits
    torch.testing.assert_close(token_logits(denoiser, INSERT, found.features_BLD[VALID])[:, :11], logits[VALID][:, :11])


def test_of_modernbert_they_read_what_comes_before_its_last_norm() -> None:
    """dLLM's code takes the last of the hidden states, which transformers 4.57 collects before that norm; the transform comes after."""
    denoiser = with_heads(modern_bert())
    network, seen = denoiser.network, everyone(VALID)
    given: list[Tensor] = []
    handle = network.model.final_norm.register_forward_hook(lambda module, arguments, result: given.append(arguments[0]))
    body_BLD = denoiser.body(TOKENS, seen)
    handle.remove()
    with using([NormedLate]):
        found = read(denoiser, TOKENS, seen)
    torch.testing.assert_close(found.features_BLD, network.head(given[0]))
    assert not torch.allclose(found.features_BLD, network.head(body_BLD))
    assert not network.model.final_norm._forward_pre_hooks


def test_what_edits_never_read_is_not_learned() -> None:
    network = with_heads(modern_bert()).network
    with using([NormedLate]):
        leave_unread(network)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {"decoder.bias", "model.final_norm.weight"}  # the output matrix is tied to the embedding, which is read


@pytest.mark.parametrize("edit", [SUBSTITUTE, INSERT])
def test_the_entropy_of_tokens_is_that_of_all_logits_without_the_mask(edit: int) -> None:
    denoiser = edit_model()
    features, target = torch.randn(6, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    weight = torch.linspace(0.1, 2, 6, dtype=torch.float64)
    head = (denoiser.network.sub_logits, denoiser.network.ins_logits)[edit == INSERT]
    nll = -(features @ head.weight.T)[:, :11].log_softmax(-1)[torch.arange(6), target]
    found = token_entropy(denoiser, edit, features, target, weight)
    torch.testing.assert_close(found.nll_R, nll.detach())
    torch.testing.assert_close(found.total, (weight * nll).sum())


def test_a_head_that_is_wrapped_gives_the_same_and_takes_part_without_rows() -> None:
    class Wrapped(torch.nn.Linear):
        """Neither plain nor in pieces: multiplied by its own module."""

    denoiser = edit_model()
    features, target = torch.randn(5, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.arange(5)
    weight = torch.ones(5, dtype=torch.float64)
    plain = token_entropy(denoiser, INSERT, features, target, weight)
    wrapped = Wrapped(32, 12, bias=False).double()
    wrapped.load_state_dict(denoiser.network.ins_logits.state_dict())
    denoiser.network.add_module("ins_logits", wrapped)
    found = token_entropy(denoiser, INSERT, features, target, weight)
    torch.testing.assert_close(found.total, plain.total)
    token_entropy(denoiser, INSERT, features[:0], target[:0], weight[:0]).total.backward()
    assert wrapped.weight.grad is not None and not wrapped.weight.grad.any()


def test_the_log_of_a_rate_is_right_over_all_its_range() -> None:
    raw = torch.linspace(-40, 40, 1601, dtype=torch.float64)
    torch.testing.assert_close(log_rate(raw), raw.exp().log1p().log(), rtol=1e-6, atol=1e-6)
    ends = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    log_rate(ends).sum().backward()
    assert ends.grad is not None and ends.grad.tolist() == [1.0, pytest.approx(1e-3)]


def test_rates_are_float32_under_autocast() -> None:
    denoiser = with_heads(tiny_llama(vocabulary=12).network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = read(denoiser, TOKENS, everyone(VALID))
    assert found.rate_BL3.dtype == torch.float32
    expected = denoiser.network.rate_heads[0](found.features_BLD.float())
    torch.testing.assert_close(found.rate_BL3, expected, rtol=1e-6, atol=1e-6)


# --- folders


def saved(network: Any, folder: Path) -> Path:
    network.save_pretrained(str(folder))
    mark(network, folder)
    return folder


def loaded(folder: Path) -> Any:
    network = from_folder(folder, Compute(), 0.0, "float32")
    load_heads(network, folder)
    return network


@pytest.mark.parametrize("make", [lambda: tiny_llama(vocabulary=12).network, bert, modern_bert], ids=["llama", "bert", "modernbert"])
def test_a_network_with_heads_comes_back_from_its_folder(make: Any, tmp_path: Path) -> None:
    network = with_heads(make()).network
    with torch.no_grad():
        network.sub_logits.weight += 1
    again = loaded(saved(network, tmp_path))
    assert has_heads(again)
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_config_says_what_dllm_calls_such_a_model_and_nothing_else_changes(tmp_path: Path) -> None:
    network = tiny_llama(vocabulary=12).network
    network.save_pretrained(str(tmp_path / "plain"))
    add_heads(network, Stream(0, "edit heads"))
    saved(network, tmp_path / "edits")
    plain, edits = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("plain", "edits"))
    assert edits == {**plain, "model_type": "editflow-llama"}


@pytest.mark.parametrize(
    ("kind", "marked"),
    [("Dream", "editflow-dream"), ("a2d-qwen3", "editflow-qwen3"), ("llada", "editflow-llada"), ("editflow-qwen2", "editflow-qwen2")],
)
def test_model_types_are_those_of_dllm(kind: str, marked: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    mark(edit_model().network, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": marked}


def test_a_model_without_heads_stays_as_it_is(tmp_path: Path) -> None:
    network = tiny_llama(vocabulary=12).network
    folder = saved(network, tmp_path)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    assert not has_heads(loaded(folder))


def test_heads_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = saved(edit_model().network, tmp_path)
    state = load_file(str(folder / "model.safetensors"))
    del state["ins_logits.weight"]
    state["sub_logits.weight"] = state["sub_logits.weight"][:, :16].clone()
    state["rate_heads.2.weight"] = torch.zeros(1)
    save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(Failure) as failure:
        loaded(folder)
    assert str(failure.value) == (
        f"the heads for edits in {folder} do not fit the model: ins_logits.weight is missing; rate_heads.2.weight is not known; "
        "sub_logits.weight is 12x16 and should be 12x32"
    )
