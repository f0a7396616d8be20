"""Families: stock architectures give the numbers of the models that they stand for, whoever sees whom."""

from collections.abc import Callable
from typing import Any

import plain_models as plain
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.seen import block_causal, everyone
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.word import members

V, LAYERS, WIDTH, HEADS, BLOCK = 29, 3, 48, 4, 4
Reference = Callable[[Any, Tensor, Tensor | None], Tensor]
"""(network, tokens of one text, who sees whom) -> logits."""

SIZES: dict[str, dict[str, Any]] = {
    "llama": {"kv_heads": 2, "norm_epsilon": 1e-2},
    "llada": {"tie_embeddings": False, "rope_theta": 500.0},
    "dream": {"kv_heads": 2, "tie_embeddings": False},
    "qwen2": {"kv_heads": 2, "rope_theta": 300.0},
    "qwen3": {"kv_heads": 1, "tie_embeddings": False},
    "mistral": {"kv_heads": 2},
    "gemma": {"kv_heads": 1},
    "gemma2": {"kv_heads": 2},
    "gemma3": {"kv_heads": 2, "layers": 6},
    "modernbert": {"window": 6, "global_every": 3},
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llada": {},
    "mistral": {},
    "dream": {"bias": True},
    "qwen2": {"bias": True},
    "qwen3": {"head_norm": True},
    "gemma": {"gemma": True},
    "gemma2": {"gemma": True, "behind": True, "score_cap": 50.0, "logit_cap": 30.0},
    "gemma3": {"gemma": True, "behind": True, "head_norm": True, "near": (6, 10_000.0)},
}


def word_of(family: str) -> Family:
    cls = members(Family)[family]
    found = cls(**{"layers": LAYERS, "width": WIDTH, "heads": HEADS, "mlp": 56, "positions": 64, **SIZES.get(family, {})})
    assert isinstance(found, Family)
    return found.completed()


def network_of(word: Family, kernel: str = "sdpa") -> Any:
    """Random weights far from where training starts, so that every part of a layer counts; in float64."""
    config = build(word)
    config.vocab_size = V
    config._attn_implementation = kernel
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = (AutoModelForMaskedLM if word.masked else AutoModelForCausalLM).from_config(config).double().eval()
        for parameter in network.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return network


def reference(word: Any, network: Any, tokens_L: Tensor, seen_LL: Tensor | None) -> Tensor:
    """The same weights in plain torch."""
    state = network.state_dict()
    if word.word in KINDS:
        sizes = {"heads": word.heads, "kv_heads": word.kv_heads, "eps": word.norm_epsilon, "theta": word.rope_theta}
        kind = plain.Kind(**sizes, tied=word.tie_embeddings, **KINDS[word.word])
        return plain.llama(state.__getitem__, kind, word.layers, tokens_L, seen_LL)
    if word.word == "modernbert":
        return plain.modernbert(state.__getitem__, network.config, word.window, word.global_every, tokens_L, seen_LL)
    if word.word == "gpt2":
        return plain.gpt2(state.__getitem__, network.config, tokens_L, seen_LL)
    return plain.bert(state.__getitem__, network.config, tokens_L, seen_LL, roberta=word.word == "roberta")


def texts() -> list[Tensor]:
    """Three texts of unequal length, one of them shorter than a window."""
    source = torch.Generator().manual_seed(3)
    return [torch.randint(0, V - 1, (length,), generator=source) for length in (13, 3, 9)]


def close(found: Tensor, expected: Tensor) -> None:
    # Rotary tables are float32 in transformers whatever the model is.
    torch.testing.assert_close(found[:, : V - 1], expected[:, : V - 1], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module", params=sorted(members(Family)))
def family(request: pytest.FixtureRequest) -> tuple[Family, Denoiser]:
    word = word_of(request.param)
    network = network_of(word, "eager" if request.param == "gemma2" else "sdpa")
    return word, Denoiser(network, mask_token=V - 1)


@pytest.mark.parametrize("side", ["right", "left", "both"])
@pytest.mark.parametrize("block", [None, BLOCK], ids=["everyone", "block-causal"])
def test_padded_texts_have_the_logits_that_each_has_alone(family: tuple[Family, Denoiser], side: str, block: int | None) -> None:
    word, denoiser = family
    length, alone = 17, texts()
    tokens_BL = torch.full((3, length), 5)
    valid_BL = torch.zeros(3, length, dtype=torch.bool)
    for row, text in enumerate(alone):
        start = {"right": 0, "left": length - len(text), "both": 2}[side]
        tokens_BL[row, start : start + len(text)] = text
        valid_BL[row, start : start + len(text)] = True
    seen = everyone(valid_BL) if block is None else block_causal(valid_BL, block)
    with torch.no_grad():
        found = denoiser.logits(tokens_BL, seen, valid_BL)
    for text, part in zip(alone, found.split([len(text) for text in alone]), strict=True):
        expected = reference(word, denoiser.network, text, None if block is None else plain.block_causal(len(text), block))
        assert float(expected.std()) > 0.3, "the toy has something to say"
        close(part, expected)


@pytest.mark.parametrize("block", [None, BLOCK], ids=["everyone", "block-causal"])
def test_an_unpadded_text_has_these_logits_too(family: tuple[Family, Denoiser], block: int | None) -> None:
    word, denoiser = family
    text = texts()[0]
    valid_BL = torch.ones(1, len(text), dtype=torch.bool)
    with torch.no_grad():
        found = denoiser.logits(text[None], everyone(valid_BL) if block is None else block_causal(valid_BL, block), valid_BL)
    close(found, reference(word, denoiser.network, text, None if block is None else plain.block_causal(len(text), block)))


@pytest.mark.parametrize("block", [None, BLOCK], ids=["everyone", "block-causal"])
def test_texts_in_one_row_see_nothing_of_each_other(family: tuple[Family, Denoiser], block: int | None) -> None:
    word, denoiser = family
    alone = texts()
    tokens_BL = torch.cat([*alone, torch.tensor([5, 5])])[None]
    document_BL = torch.cat([torch.full((len(text),), index) for index, text in enumerate(alone)] + [torch.tensor([2, 2])])[None]
    valid_BL = torch.ones_like(tokens_BL, dtype=torch.bool)
    valid_BL[0, -2:] = False
    seen = everyone(valid_BL, document_BL) if block is None else block_causal(valid_BL, block, document_BL)
    with torch.no_grad():
        found = denoiser.logits(tokens_BL, seen, valid_BL)
    for text, part in zip(alone, found.split([len(text) for text in alone]), strict=True):
        close(part, reference(word, denoiser.network, text, None if block is None else plain.block_causal(len(text), block)))


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["llama", "modernbert", "roberta"])
def test_either_kernel_gives_these_logits(name: str, kernel: str) -> None:
    word = word_of(name)
    denoiser = Denoiser(network_of(word, kernel), mask_token=V - 1)
    first, second = texts()[0], texts()[2]
    tokens_BL = torch.stack([first, torch.nn.functional.pad(second, (4, 0), value=5)])
    valid_BL = torch.arange(13) >= torch.tensor([[0], [4]])
    with torch.no_grad():
        found = denoiser.logits(tokens_BL, everyone(valid_BL), valid_BL)
    close(found[:13], reference(word, denoiser.network, first, None))
    close(found[13:], reference(word, denoiser.network, second, None))


def test_the_logits_of_gemma_2_are_capped_and_so_its_loss_takes_no_short_cut() -> None:
    word = word_of("gemma2")
    denoiser = Denoiser(network_of(word, "eager"), mask_token=V - 1)
    denoiser.network.get_input_embeddings().weight.data *= 20
    text = texts()[0]
    expected = reference(word, denoiser.network, text, None)
    assert 25 < float(expected.abs().max()) <= 30
    assert denoiser._head.last() is None
    valid_BL = torch.ones(1, len(text), dtype=torch.bool)
    hidden_RD = denoiser.hidden(text[None], everyone(valid_BL))[0]
    found = denoiser.cross_entropy(hidden_RD, text, torch.ones(len(text)))
    expected[:, V - 1] = -torch.inf
    torch.testing.assert_close(found.nll_R, torch.nn.functional.cross_entropy(expected, text, reduction="none"), rtol=1e-5, atol=1e-5)
