"""The denoiser: stock architectures read bidirectionally, the same numbers as a forward pass written out by hand."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from runtime_toys import tiny_llama
from torch import Tensor
from transformers import AlbertConfig, AlbertForMaskedLM, BertConfig, BertForMaskedLM

from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.seen import everyone

V, L = 23, 9


def tokens(rows: int = 2, length: int = L, seed: int = 0) -> Tensor:
    return torch.randint(0, V - 1, (rows, length), generator=torch.Generator().manual_seed(seed))


def everything(tokens_BL: Tensor) -> Tensor:
    return torch.ones_like(tokens_BL, dtype=torch.bool)


def logits_of(denoiser: Denoiser, tokens_BL: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = denoiser.logits(tokens_BL, everyone(everything(tokens_BL)), everything(tokens_BL))
    return found.view(*tokens_BL.shape, -1)


def hidden_of(denoiser: Denoiser, tokens_BL: Tensor, valid_BL: Tensor) -> Tensor:
    with torch.no_grad():
        return denoiser.body(tokens_BL, everyone(valid_BL))


def plain_llama(network: Any, tokens_BL: Tensor) -> Tensor:
    """Llama's forward pass in plain torch, without any mask (arXiv 2302.13971; RoPE: 2104.09864; SwiGLU: 2002.05202)."""
    config, weights = network.config, network.state_dict()
    heads, theta = config.num_attention_heads, config.rope_parameters["rope_theta"]
    size = config.hidden_size // heads

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * weights[name]

    def rotate(x: Tensor) -> Tensor:
        angle = torch.arange(x.shape[2])[:, None] * theta ** (-torch.arange(0, size, 2) / size)[None, :]
        cos, sin = angle.cos(), angle.sin()
        left, right = x[..., : size // 2], x[..., size // 2 :]
        return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)

    x = weights["model.embed_tokens.weight"][tokens_BL]
    rows, length, _ = x.shape
    for layer in range(config.num_hidden_layers):
        at = f"model.layers.{layer}."
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = ((h @ weights[f"{at}self_attn.{name}_proj.weight"].T).view(rows, length, heads, size).transpose(1, 2) for name in "qkv")
        weight = ((rotate(q) @ rotate(k).transpose(-1, -2)) / math.sqrt(size)).softmax(-1)
        x = x + (weight @ v).transpose(1, 2).reshape(rows, length, -1) @ weights[at + "self_attn.o_proj.weight"].T
        h = norm(x, at + "post_attention_layernorm.weight")
        gate, up = h @ weights[at + "mlp.gate_proj.weight"].T, h @ weights[at + "mlp.up_proj.weight"].T
        x = x + (F.silu(gate) * up) @ weights[at + "mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight") @ weights["lm_head.weight"].T


@pytest.fixture(scope="module")
def llama() -> Denoiser:
    return tiny_llama(vocabulary=V)


def without_mask(logits: Tensor) -> Tensor:
    return logits[..., : V - 1]


def test_the_last_token_moves_the_first_position(llama: Denoiser) -> None:
    before = tokens(1)
    after = before.clone()
    after[0, -1] = (after[0, -1] + 1) % (V - 1)
    moved = (without_mask(logits_of(llama, before)) - without_mask(logits_of(llama, after)))[0, 0].abs().max()
    assert float(moved) > 1e-3


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_logits_equal_a_llama_written_out_in_plain_torch(llama: Denoiser, kernel: str) -> None:
    llama.network.set_attn_implementation(kernel)
    expected = plain_llama(llama.network, tokens())
    assert float(expected.std()) > 0.3, "the toy has something to say"
    torch.testing.assert_close(without_mask(logits_of(llama, tokens())), without_mask(expected), rtol=1e-5, atol=1e-5)
    llama.network.set_attn_implementation("sdpa")


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize(("left", "right"), [(3, 0), (0, 3), (2, 4)], ids=["left", "right", "both"])
def test_padding_on_either_side_changes_no_logit(llama: Denoiser, left: int, right: int, kernel: str) -> None:
    llama.network.set_attn_implementation(kernel)
    bare = tokens(1)
    expected = logits_of(llama, bare)[0]
    # A full row beside it keeps the batch padded; what stands in the padding must not matter.
    for filler in (0, 7):
        row = torch.cat([torch.full((left,), filler), bare[0], torch.full((right,), filler)])
        batch = torch.stack([row, tokens(1, len(row), seed=5)[0]])
        valid = torch.ones_like(batch, dtype=torch.bool)
        valid[0, :left] = False
        valid[0, left + L :] = False
        with torch.no_grad():
            found = llama.logits(batch, everyone(valid), valid)
        torch.testing.assert_close(found[:L], expected, rtol=1e-5, atol=1e-5)
    llama.network.set_attn_implementation("sdpa")


def test_position_ids_count_from_the_first_valid_token(llama: Denoiser) -> None:
    # Rotary positions are relative: the logits alone would not show a shift.
    seen: list[Tensor] = []
    hook = llama.network.base_model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["position_ids"]), with_kwargs=True)
    valid = torch.tensor([[False, False, True, True, True], [True, True, True, False, False], [True] * 5])
    hidden_of(llama, tokens(3, 5), valid)
    hidden_of(llama, tokens(3, 5), torch.ones(3, 5, dtype=torch.bool))
    hook.remove()
    assert seen[0][0, 2:].tolist() == [0, 1, 2]
    assert seen[0][1, :3].tolist() == [0, 1, 2]
    assert seen[0][2].tolist() == [0, 1, 2, 3, 4]
    assert int(seen[0].min()) >= 0
    assert seen[1] is None, "an unpadded batch takes the model's own positions"


def test_an_unpadded_batch_is_given_no_mask_and_never_a_cache(llama: Denoiser) -> None:
    seen: list[dict[str, Any]] = []
    hook = llama.network.base_model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True)
    hidden_of(llama, tokens(), everything(tokens()))
    hook.remove()
    assert seen[0]["attention_mask"] is None and seen[0]["use_cache"] is False and seen[0]["is_causal"] is False


def test_body_and_head_apart_give_the_models_own_logits(llama: Denoiser) -> None:
    with torch.no_grad():
        own = llama.network(input_ids=tokens(), is_causal=False).logits
    torch.testing.assert_close(without_mask(logits_of(llama, tokens())), without_mask(own), rtol=1e-6, atol=1e-6)


def test_chosen_positions_come_in_row_major_order_and_only_they_are_scored(llama: Denoiser) -> None:
    chosen = torch.zeros(2, L, dtype=torch.bool)
    chosen[0, [1, 7]] = chosen[1, [0, 4, 8]] = True
    llama.head_rows = llama.body_passes = 0
    with torch.no_grad():
        found = llama.logits(tokens(), everyone(everything(tokens())), chosen)
    assert llama.head_rows == 5 and llama.body_passes == 1
    torch.testing.assert_close(found, logits_of(llama, tokens())[chosen], rtol=1e-6, atol=1e-6)


def test_the_mask_is_never_predicted_and_logits_are_float32(llama: Denoiser) -> None:
    found = logits_of(llama, tokens())
    assert found.dtype == torch.float32
    assert bool((found[..., V - 1] == -math.inf).all())
    assert bool(without_mask(found).isfinite().all())


def test_with_a_logit_shift_a_position_reads_its_left_neighbour_and_the_first_its_own() -> None:
    plain, shifted = tiny_llama(vocabulary=V), tiny_llama(vocabulary=V, shift=1)
    own, found = logits_of(plain, tokens()), logits_of(shifted, tokens())
    torch.testing.assert_close(found[:, 1:], own[:, :-1], rtol=0, atol=0)
    torch.testing.assert_close(found[:, 0], own[:, 0], rtol=0, atol=0)


def test_with_a_logit_shift_padding_on_the_left_changes_no_logit() -> None:
    shifted, bare = tiny_llama(vocabulary=V, shift=1), tokens(1)
    batch = torch.cat([torch.full((1, 3), 7), bare], dim=1)
    valid = torch.tensor([[False] * 3 + [True] * L])
    with torch.no_grad():
        torch.testing.assert_close(shifted.logits(batch, everyone(valid), valid), logits_of(shifted, bare)[0], rtol=1e-5, atol=1e-5)


def masked_lm(kind: str) -> Any:
    shared: dict[str, Any] = {
        "vocab_size": V,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "initializer_range": 0.3,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "bert":
            return BertForMaskedLM(BertConfig(**shared)).eval()
        return AlbertForMaskedLM(AlbertConfig(**shared, embedding_size=16)).eval()


@pytest.mark.parametrize("kind", ["bert", "albert"])
class TestMaskedLanguageModels:
    def test_body_and_head_apart_give_the_full_forward_pass(self, kind: str) -> None:
        network = masked_lm(kind)
        with torch.no_grad():
            own = network(input_ids=tokens()).logits
        found = logits_of(Denoiser(network, mask_token=V - 1), tokens())
        assert float(own.std()) > 0.3
        torch.testing.assert_close(without_mask(found), without_mask(own), rtol=1e-6, atol=1e-6)
        assert bool((found[..., V - 1] == -math.inf).all())

    def test_the_last_token_moves_the_first_position(self, kind: str) -> None:
        denoiser, before = Denoiser(masked_lm(kind), mask_token=V - 1), tokens(1)
        after = before.clone()
        after[0, -1] = (after[0, -1] + 1) % (V - 1)
        assert float((without_mask(logits_of(denoiser, before) - logits_of(denoiser, after)))[0, 0].abs().max()) > 1e-4

    def test_padding_on_the_left_changes_no_logit_although_positions_are_absolute(self, kind: str) -> None:
        denoiser, bare = Denoiser(masked_lm(kind), mask_token=V - 1), tokens(1)
        batch = torch.stack([torch.cat([torch.zeros(4, dtype=torch.int64), bare[0]]), tokens(1, L + 4, seed=5)[0]])
        valid = torch.ones_like(batch, dtype=torch.bool)
        valid[0, :4] = False
        with torch.no_grad():
            found = denoiser.logits(batch, everyone(valid), valid)
        torch.testing.assert_close(found[:L], logits_of(denoiser, bare)[0], rtol=1e-5, atol=1e-5)
