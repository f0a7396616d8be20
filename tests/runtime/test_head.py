"""The head apart: whatever class a network is of, body and head apart give its own logits, and its last linear layer is told right."""

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.head import Head
from dllm_run.runtime.seen import everyone

V, L = 29, 7
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
GPT2: dict[str, Any] = {"vocab_size": V, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40}
PLAIN = {
    "Llama": SIZES,
    "Qwen2": {**SIZES, "num_key_value_heads": 2},
    "Qwen3": {**SIZES, "head_dim": 16, "num_key_value_heads": 2},
    "Mistral": {**SIZES, "num_key_value_heads": 2},
    "Gemma": {**SIZES, "head_dim": 16, "num_key_value_heads": 2},
    "GPT2": GPT2,
    "Bert": SIZES,
    "Roberta": {**SIZES, "pad_token_id": 1},
    "ModernBert": {**SIZES, "pad_token_id": 0},
    "Albert": {**SIZES, "embedding_size": 16},
    "Electra": {**SIZES, "embedding_size": 16},
}
CAPPED = {
    "Gemma2": {**SIZES, "head_dim": 16, "num_key_value_heads": 2, "final_logit_softcapping": 3.0},
    "Cohere": {**SIZES, "num_key_value_heads": 2, "logit_scale": 0.2},
    "Granite": {**SIZES, "num_key_value_heads": 2, "logits_scaling": 3.0},
}


def network_of(name: str, **changes: Any) -> Any:
    masked = name in ("Bert", "Roberta", "ModernBert", "Albert", "Electra")
    config = getattr(transformers, f"{name}Config")(**{**PLAIN, **CAPPED}[name], **changes)
    config._attn_implementation = "eager" if name == "Gemma2" else "sdpa"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        auto = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
        found = auto.from_config(config).eval()
        for parameter in found.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return found


def tokens() -> Tensor:
    return torch.randint(2, V - 1, (2, L), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*PLAIN, *CAPPED])
def test_body_and_head_apart_give_the_networks_own_logits(name: str) -> None:
    network = network_of(name)
    everything = torch.ones(2, L, dtype=torch.bool)
    denoiser = Denoiser(network, mask_token=V - 1)
    with torch.no_grad():
        found = denoiser.logits(tokens(), everyone(everything), everything).view(2, L, V)
        options = {} if name in ("Bert", "Roberta", "ModernBert", "Albert", "Electra") else {"is_causal": False}
        own = network(input_ids=tokens(), **options).logits
    assert float(own[..., : V - 1].std()) > 0.1
    torch.testing.assert_close(found[..., : V - 1], own[..., : V - 1], rtol=1e-5, atol=1e-5)
    assert network.base_model.training is False and network.base_model is not None


@pytest.mark.parametrize("name", PLAIN)
def test_the_last_linear_layer_is_found_and_gives_the_logits_from_its_features(name: str) -> None:
    head = Head(network_of(name))
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    last = head.last()
    assert last is not None
    with torch.no_grad():
        found = torch.nn.functional.linear(head.features(hidden), last.weight, last.bias)
        torch.testing.assert_close(found, head.logits(hidden), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CAPPED)
def test_logits_that_are_capped_or_scaled_are_no_plain_projection(name: str) -> None:
    network = network_of(name)
    assert Head(network).last() is None
    # The loss then takes the networks own way, and is that of its logits.
    denoiser, target = Denoiser(network, mask_token=V - 1), torch.tensor([3, 5, 7])
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found = denoiser.cross_entropy(hidden, target, torch.ones(3))
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(denoiser.head(hidden), target, reduction="sum")
    torch.testing.assert_close(found.total.detach(), expected, rtol=1e-5, atol=1e-5)
    found.total.backward()
    assert hidden.grad is not None and float(hidden.grad.abs().sum()) > 0


def test_the_body_is_back_in_its_place_when_the_head_fails() -> None:
    network = network_of("Llama")
    body = network.base_model
    with pytest.raises(RuntimeError):
        Head(network).logits(torch.zeros(3, 31))
    assert network.base_model is body


@pytest.mark.parametrize("name", ["Llama", "Bert", "GPT2"])
def test_tied_matrices_get_the_gradient_of_both_ends(name: str) -> None:
    network = network_of(name, tie_word_embeddings=True).double()
    denoiser, everything = Denoiser(network, mask_token=V - 1), torch.ones(2, L, dtype=torch.bool)
    target, weight = tokens().flatten(), torch.linspace(0.1, 2, 2 * L, dtype=torch.float64)
    table = network.get_input_embeddings().weight

    def gradient(loss: Tensor) -> Tensor:
        network.zero_grad()
        loss.backward()
        assert table.grad is not None
        return table.grad.clone()

    hidden = denoiser.hidden(tokens(), everyone(everything))[everything]
    mine = gradient(denoiser.cross_entropy(hidden, target, weight).total)
    logits = denoiser.logits(tokens(), everyone(everything), everything)
    theirs = gradient((weight * torch.nn.functional.cross_entropy(logits, target, reduction="none")).sum())
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
