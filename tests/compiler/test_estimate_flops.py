"""Operations by formula, against torch's count of those that it runs."""

from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from dllm_run.compiler.estimate.flops import (
    cpu_seconds,
    likelihood_flops,
    sampling_flops,
    seconds,
)  # fmt: skip
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.seen import everyone
from dllm_run.specs.flops import forward_flops, training_flops
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.published import PUBLISHED

ROWS, LENGTH, SCORED = 3, 96, 0.5
COMMON: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160, "vocab_size": 300,
}  # fmt: skip
CONFIGS = {
    "llama": transformers.LlamaConfig(**COMMON, num_key_value_heads=2),
    "bert": transformers.BertConfig(**COMMON, hidden_dropout_prob=0, attention_probs_dropout_prob=0),
    "albert": transformers.AlbertConfig(**COMMON, embedding_size=32, hidden_dropout_prob=0, attention_probs_dropout_prob=0),
}


def counted(name: str, *, backward: bool, checkpointing: bool = False) -> tuple[Geometry, int]:
    """What torch counts; the eager kernel, as its matrix products are counted one by one."""
    config = CONFIGS[name]
    config._attn_implementation = "eager"
    auto = transformers.AutoModelForCausalLM if name == "llama" else transformers.AutoModelForMaskedLM
    network = auto.from_config(config).train()
    if checkpointing:
        network.gradient_checkpointing_enable()
    geometry = Geometry.from_config(config.to_dict())
    assert geometry is not None
    tokens = torch.ones(ROWS, LENGTH, dtype=torch.long)
    chosen = torch.arange(LENGTH).expand(ROWS, LENGTH) % 2 == 0
    with FlopCounterMode(display=False) as counter:
        logits = Denoiser(network, mask_token=0).logits(tokens, everyone(torch.ones_like(chosen)), chosen)
        if backward:
            torch.nn.functional.cross_entropy(logits, torch.ones(len(logits), dtype=torch.long)).backward()
    return geometry, counter.get_total_flops()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_forward_pass_is_what_torch_counts(name: str) -> None:
    geometry, measured = counted(name, backward=False)
    tokens = ROWS * LENGTH
    predicted = forward_flops(geometry, tokens=tokens, length=LENGTH, scored=tokens * SCORED)
    assert predicted == pytest.approx(measured, rel=0.03)
    assert likelihood_flops(geometry, rows=ROWS, samples=1, length=LENGTH) == predicted
    assert sampling_flops(geometry, prompts=ROWS, passes=1, canvas=LENGTH, scored=LENGTH * SCORED) == predicted


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_step_is_what_torch_counts(name: str) -> None:
    geometry, measured = counted(name, backward=True)
    assert training_flops(geometry, tokens=ROWS * LENGTH, length=LENGTH) == pytest.approx(measured, rel=0.03)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_checkpointing_runs_the_body_again(name: str) -> None:
    geometry, measured = counted(name, backward=True, checkpointing=True)
    predicted = training_flops(geometry, tokens=ROWS * LENGTH, length=LENGTH, gradient_checkpointing=True)
    assert predicted == pytest.approx(measured, rel=0.03)


def test_lora_is_what_torch_counts() -> None:
    peft = pytest.importorskip("peft")
    config = CONFIGS["llama"]
    config._attn_implementation = "eager"
    network = transformers.AutoModelForCausalLM.from_config(config)
    geometry = Geometry.from_config(config.to_dict())
    assert geometry is not None
    adapted = peft.get_peft_model(network, peft.LoraConfig(r=8, target_modules="all-linear"))
    tokens = torch.ones(ROWS, LENGTH, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        adapted(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
    predicted = training_flops(geometry, tokens=ROWS * LENGTH, length=LENGTH, scored_share=1.0, adapters=geometry.lora_parameters(8))
    assert predicted == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_a_cache_computes_the_block_alone_and_attends_to_the_whole_canvas() -> None:
    llada = PUBLISHED["GSAI-ML/LLaDA-8B-Instruct"]
    whole = sampling_flops(llada, prompts=1, passes=1, canvas=512, scored=32)
    block = sampling_flops(llada, prompts=1, passes=1, canvas=512, scored=32, computed=32)
    head = forward_flops(llada, tokens=0, length=0, scored=32)
    assert (block - head) * 16 == pytest.approx(whole - head)


def test_gsm8k_on_eight_h100_takes_half_an_hour_at_the_upper_share() -> None:
    """LLaDA-8B, 1,319 questions, 256 steps on a canvas of about 1,050 tokens with five examples: 16 TFLOP a step."""
    flops = sampling_flops(PUBLISHED["GSAI-ML/LLaDA-8B-Base"], prompts=1319, passes=256, canvas=1050, scored=256)
    shortest, longest = seconds(flops, "h100-80gb", devices=8)
    assert 0.3 < shortest / 3600 < 0.7 and longest / shortest == pytest.approx(0.40 / 0.25)


def test_more_cores_take_less_time() -> None:
    shortest, longest = cpu_seconds(1e12, cores=2)
    assert 0 < shortest < longest
    assert cpu_seconds(1e12, cores=4) == pytest.approx((shortest / 2, longest / 2))
