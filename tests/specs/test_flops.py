"""Operations of a step counted by hand on a model small enough to write its matrices down."""

import pytest

from dllm_run.specs.devices import DEVICES, device_called
from dllm_run.specs.flops import forward_flops, training_flops
from dllm_run.specs.geometry import Geometry

# Width 4, two layers, two heads of 2, a gated mlp of 6 and 10 tokens.
TINY = Geometry(
    layers=2, width=4, heads=2, kv_heads=2, head_dim=2, mlp=6, vocabulary=10, positions=8, tied=False, norm_parameters=2 * 8 + 4
)  # fmt: skip
ATTENTION_WEIGHTS = 4 * 4 * 4  # query, key, value, result
MLP_WEIGHTS = 3 * 4 * 6  # gate, up, down
N = 2 * (ATTENTION_WEIGHTS + MLP_WEIGHTS)
HEAD = 4 * 10
# 3 rows of 5 tokens: 25 pairs of tokens a row, 4 dimensions of all heads, a multiply-add each for q k' and for p v, two layers.
TOKENS, PAIRS, SCORED = 15, 75, 6
PRODUCTS_OF_ATTENTION = 2 * 2 * PAIRS * 4 * 2


def test_a_forward_pass_is_two_per_weight_and_token_and_its_attention_and_the_head_where_it_scores() -> None:
    assert N == 272
    by_hand = 2 * N * TOKENS + PRODUCTS_OF_ATTENTION + 2 * HEAD * SCORED
    assert forward_flops(TINY, tokens=TOKENS, length=5, scored=SCORED) == by_hand == 8160 + 2400 + 480


def test_training_is_three_forward_passes() -> None:
    found = training_flops(TINY, tokens=TOKENS, length=5, scored_share=SCORED / TOKENS)
    assert found == pytest.approx(6 * N * TOKENS + 3 * PRODUCTS_OF_ATTENTION + 6 * HEAD * SCORED)


def test_frozen_weights_have_no_gradient_and_attention_has_both_of_its_own() -> None:
    adapters = 2 * (4 * 2 * (4 + 4) + 3 * 2 * (4 + 6))  # rank 2 on seven matrices of each layer
    assert adapters == TINY.lora_parameters(2)
    found = training_flops(TINY, tokens=TOKENS, length=5, scored_share=SCORED / TOKENS, adapters=adapters)
    frozen = 4 * N * TOKENS + 4 * HEAD * SCORED
    assert found == pytest.approx(frozen + 3 * PRODUCTS_OF_ATTENTION + 6 * adapters * TOKENS)


def test_a_card_is_known_by_the_name_that_cuda_has_for_it_and_others_of_its_family_are_not() -> None:
    assert device_called("NVIDIA H100 80GB HBM3") is DEVICES["h100-80gb"]
    assert device_called("NVIDIA H100 PCIe") is None, "it has three quarters of the peak"
    names = [name for device in DEVICES.values() for name in device.called]
    assert len(names) == len(set(names))
