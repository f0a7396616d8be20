"""Memory by formula, against what autograd keeps, published runs that fitted and one that did not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
import transformers

from dllm_run.compiler.estimate import Attention, InferenceSetting, Precision, Setting, StrategyName
from dllm_run.compiler.estimate.activations import BYTES, layer_bytes
from dllm_run.compiler.estimate.memory import inference_memory, training_memory
from dllm_run.specs.devices import DEVICES
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.published import PUBLISHED

GB = 1e9
LLADA = PUBLISHED["GSAI-ML/LLaDA-8B-Instruct"]
SHALLOW = replace(LLADA, layers=1, width=64, heads=1, kv_heads=1, head_dim=64, mlp=64, vocabulary=100_000, norm_parameters=192)

# --- what autograd keeps of a layer

ROWS, LENGTH = 2, 64
COMMON: dict[str, Any] = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 640, "vocab_size": 100}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
FAMILIES: dict[str, Callable[[int], Any]] = {
    "llama": lambda layers: transformers.LlamaConfig(**COMMON, num_hidden_layers=layers),
    "llama-gqa": lambda layers: transformers.LlamaConfig(**COMMON, num_hidden_layers=layers, num_key_value_heads=2),
    "qwen3": lambda layers: transformers.Qwen3Config(**COMMON, num_hidden_layers=layers, num_key_value_heads=2, head_dim=128),
    "gpt2": lambda layers: transformers.GPT2Config(
        n_embd=256, n_head=4, n_inner=640, n_layer=layers, vocab_size=100, n_positions=64, bos_token_id=1, eos_token_id=2,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
    ),
    "bert": lambda layers: transformers.BertConfig(
        **COMMON, num_hidden_layers=layers, hidden_dropout_prob=0, attention_probs_dropout_prob=0
    ),
    "modernbert": lambda layers: transformers.ModernBertConfig(
        **COMMON, **SPECIAL, num_hidden_layers=layers, cls_token_id=1, sep_token_id=2, local_attention=256
    ),
}  # fmt: skip
KINDS: list[tuple[str, Precision, Attention]] = [
    *((family, precision, "sdpa") for family in FAMILIES for precision in get_args(Precision)),
    # The other families make their probabilities in the precision of the products.
    *((family, precision, "eager") for family in ("llama", "llama-gqa", "qwen3") for precision in get_args(Precision)),
]


def saved(config: Any, precision: Precision, attention: Attention) -> int:
    """Bytes of the distinct storages that autograd saves, but for parameters."""
    config._attn_implementation = attention
    masked = config.model_type in ("bert", "modernbert")
    auto = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    network = auto.from_config(config).to(torch.bfloat16 if precision == "pure_bf16" else torch.float32).train()
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    options = {} if masked else {"use_cache": False, "is_causal": False}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", enabled=precision == "bf16"):
        network.base_model(input_ids=torch.ones(ROWS, LENGTH, dtype=torch.long), **options)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize(("family", "precision", "attention"), KINDS, ids=str)
def test_a_layer_keeps_what_autograd_saves_of_it(family: str, precision: Precision, attention: Attention) -> None:
    few, many = FAMILIES[family](3), FAMILIES[family](6)
    geometry = Geometry.from_config(many.to_dict())
    assert geometry is not None
    measured = (saved(many, precision, attention) - saved(few, precision, attention)) / 3 / (ROWS * LENGTH)
    if precision == "bf16":  # the weights that autocast has cast are counted apart
        attached = 6 if geometry.head_transform else 0
        inside = geometry.linear_parameters() - (geometry.width**2 if attached else 0)
        measured -= 2 * inside / 6 / (ROWS * LENGTH)
    predicted = layer_bytes(geometry, precision=precision, attention=attention, length=LENGTH)
    assert predicted == pytest.approx(measured, rel=0.015)


# --- known events


DEEPSPEED = Setting(micro=1, length=1024, precision="pure_bf16", strategy="zero2", master_weights=True)


def test_the_published_failure_is_foreseen() -> None:
    """dLLM issue 9: LLaDA-8B-Instruct, all weights, ZeRO-2 on two A100-40GB: out of memory as the optimizer is made."""
    memory = training_memory(LLADA, replace(DEEPSPEED, world=2))
    before_the_first_step = memory.weights + memory.optimizer + memory.master_weights
    assert before_the_first_step > DEVICES["a100-40gb"].memory
    assert memory.table()[0] == ("optimizer", memory.optimizer)
    # 16 bytes a parameter (arXiv 1910.02054, section 3.1): 2 of weights whole; 2 of gradients and 12 of the optimizer halved.
    sixteen = memory.weights + memory.gradients + memory.optimizer + memory.master_weights
    assert sixteen == pytest.approx((2 + 14 / 2) * 8_015_581_184, rel=1e-6)


QLORA = replace(DEEPSPEED, micro=2, length=2048, world=16, lora_rank=64, quantization="nf4", gradient_checkpointing=True)
FITTED = {
    "modernbert-large": ("answerdotai/ModernBERT-large", "a100-80gb", replace(DEEPSPEED, micro=48, world=8)),
    "modernbert-base": ("answerdotai/ModernBERT-base", "a100-80gb", replace(DEEPSPEED, micro=48, world=8)),
    "qwen3-0.6b": ("Qwen/Qwen3-0.6B", "a100-80gb", replace(DEEPSPEED, micro=16, world=64, accumulation=2)),
    "llada-8b-qlora": ("GSAI-ML/LLaDA-8B-Base", "h100-80gb", QLORA),
    "llada-8b-fsdp": (
        "GSAI-ML/LLaDA-8B-Base",
        "a100-80gb",
        Setting(micro=4, length=1024, strategy="fsdp2", world=16),
    ),
}


@pytest.mark.parametrize("run", FITTED)
def test_a_published_run_fits(run: str) -> None:
    name, device, setting = FITTED[run]
    memory = training_memory(PUBLISHED[name], setting)
    assert memory.low <= memory.total <= memory.high
    assert memory.total < DEVICES[device].memory


def test_quantised_lora_is_near_the_arithmetic_on_paper() -> None:
    """Weights 3.6 + 2.1, adapters 0.3 + 0.3, optimizer 0.13, activations 1.1 and overhead 1.6 GB."""
    memory = training_memory(LLADA, QLORA)
    assert memory.weights / GB == pytest.approx(3.6 + 2.07, rel=0.01)
    assert memory.lora / GB == pytest.approx(0.336, rel=0.01)
    assert (memory.optimizer + memory.master_weights) / GB == pytest.approx(0.126, rel=0.01)
    # Beside the 1.1 GB that checkpoints keep, the layer that is walked back: the logits are gone by then, and were those of a chunk.
    assert memory.moment == "backward" and memory.logits == 0
    assert 1.1 < memory.activations / GB < 3
    assert 9 < memory.total / GB < 13


# --- how the parts answer to the setting


@pytest.mark.parametrize("strategy", get_args(StrategyName))
def test_more_processes_never_need_more_memory_on_each(strategy: StrategyName) -> None:
    totals = [training_memory(LLADA, replace(DEEPSPEED, strategy=strategy, world=world)).total for world in (2, 4, 8, 64)]
    assert totals == sorted(totals, reverse=True)
    assert (totals[0] > totals[-1]) == (strategy not in ("none", "ddp"))


def test_each_zero_stage_divides_one_part_more() -> None:
    # With accumulation gradients live through every moment.
    setting = replace(DEEPSPEED, accumulation=2)
    stages: tuple[StrategyName, ...] = ("zero1", "zero2", "zero3")
    one, two, three = (training_memory(LLADA, replace(setting, strategy=name, world=8)) for name in stages)
    whole = training_memory(LLADA, setting)
    assert whole.optimizer == 8 * one.optimizer == 8 * two.optimizer == 8 * three.optimizer
    # Where the loss is the worst moment, that of the output matrix is there once more.
    formed = {"logits": 2 * 126_464 * 4096}
    left = {
        memory: memory.gradients - formed.get(memory.moment, 0) // parts for memory, parts in ((whole, 1), (one, 1), (two, 8), (three, 8))
    }
    assert left[one] == left[whole] == 2 * LLADA.parameters()
    assert left[two] == left[three] == LLADA.parameters() * 2 // 8
    assert one.weights == two.weights == whole.weights == 8 * three.weights
    assert three.gathered and not two.gathered


def test_eager_attention_keeps_its_probabilities() -> None:
    sdpa, eager = (
        [layer_bytes(LLADA, precision="bf16", attention=kernel, length=length) for length in (256, 2048)] for kernel in get_args(Attention)
    )
    assert sdpa[0] == sdpa[1]
    assert eager[1] - eager[0] == 32 * (2048 - 256) * (4 + 2)  # heads, keys, bytes


def test_checkpointing_trades_activations() -> None:
    setting = Setting(micro=8, length=1024)
    plain, saving = (training_memory(LLADA, replace(setting, gradient_checkpointing=on)) for on in (False, True))
    assert saving.total < plain.total


def test_the_loss_holds_the_logits_of_a_chunk_alone() -> None:
    small = replace(LLADA, width=64, heads=1, kv_heads=1, head_dim=64, layers=1, mlp=64, vocabulary=1 << 20)
    setting = Setting(micro=64, length=64, lora_rank=1)
    found = training_memory(small, setting)
    # 2^23 logits at once, but 32 rows at the least: with 8 bytes each, and no gradient of a frozen matrix.
    assert found.moment == "logits" and found.logits == 8 * (1 << 20) * 32 and not found.gradients
    full = training_memory(small, replace(setting, lora_rank=None, precision="fp32"))
    assert full.moment == "head" or full.gradients >= 4 * (1 << 20) * 64


def test_no_more_positions_than_are_scored_have_logits() -> None:
    few = training_memory(SHALLOW, Setting(micro=1, length=64, precision="fp32", lora_rank=8, gradient_checkpointing=True))
    assert few.moment == "logits" and few.logits == 2 * 4 * 100_000 * 64 // 2


@pytest.mark.parametrize("precision", get_args(Precision))
def test_modules_that_are_trained_whole_beside_an_adapter_count_as_weights_do(precision: Precision) -> None:
    """Each is there once more, in fp32, with its gradient and two moments."""
    setting = Setting(micro=1, length=64, precision=precision, lora_rank=8, gradient_checkpointing=True)
    none, two = (training_memory(LLADA, replace(setting, saved_tables=tables)) for tables in (0, 2))
    table = 126_464 * 4096
    assert two.lora - none.lora == 2 * table * 4
    assert two.optimizer - none.optimizer == 2 * table * 8
    assert none.lora == 4 * LLADA.lora_parameters(8), "an adapter is in fp32 beside weights of any number"


def test_frozen_weights_are_cast_for_as_long_as_a_layer_needs_them() -> None:
    setting = Setting(micro=1, length=64, lora_rank=8)
    kept, brief = (training_memory(LLADA, replace(setting, gradient_checkpointing=on)) for on in (False, True))
    linear, table = 2 * LLADA.linear_parameters(), 2 * 126_464 * 4096
    assert kept.autocast_copies == linear + table * (kept.moment == "logits")
    assert brief.autocast_copies == linear // 32 + table * (brief.moment == "logits")


def test_an_adapter_over_weights_takes_its_room_in_sampling_too() -> None:
    setting = InferenceSetting(rows=1, length=64, scored=32, precision="fp32")
    assert inference_memory(LLADA, replace(setting, lora_rank=64)).lora == 4 * LLADA.lora_parameters(64)


def test_strata_in_order_leave_the_most_masked_rows_to_the_last_micro_batch() -> None:
    setting = replace(QLORA, micro=2, world=1, accumulation=4)
    even, strata = (training_memory(LLADA, replace(setting, stratified=on)) for on in (False, True))
    # Rows 7 and 8 of 8: mean share 7/8 where it is 1/2 on average.
    chosen = 2 * setting.length * (7 / 8 - 1 / 2)
    assert strata.activations - even.activations == pytest.approx(3 * BYTES[setting.precision].stream * LLADA.width * chosen, rel=1e-6)


def test_autocast_keeps_cast_weights_beside_those_in_fp32() -> None:
    geometry = PUBLISHED["Qwen/Qwen3-0.6B"]
    memory = training_memory(geometry, Setting(micro=4, length=512))
    # The output matrix is cast for the loss alone, and its gradient is there in both numbers as it is handed back.
    assert memory.moment == "head" and memory.gradients == (2 + 4) * 151_936 * 1024
    assert memory.autocast_copies == 2 * geometry.linear_parameters()
    assert memory.weights == 4 * geometry.parameters() and memory.optimizer == 8 * geometry.parameters()


def test_quantised_weights_train_through_lora_alone() -> None:
    with pytest.raises(ValueError, match="LoRA"):
        training_memory(LLADA, replace(DEEPSPEED, quantization="nf4"))


def test_the_table_is_the_total_largest_first() -> None:
    memory = training_memory(LLADA, QLORA)
    sizes = [size for _, size in memory.table()]
    assert sum(sizes) == memory.total and sizes == sorted(sizes, reverse=True) and all(sizes)


def test_sampling_needs_weights_logits_and_where_there_is_one_the_cache() -> None:
    setting = InferenceSetting(rows=4, length=1024, scored=4 * 32, precision="pure_bf16")
    plain, cached = (inference_memory(LLADA, replace(setting, kv_cache=on)) for on in (False, True))
    assert plain.weights == 2 * LLADA.parameters()
    assert cached.total - plain.total == cached.kv_cache == 2 * 32 * 4096 * 4 * 1024 * 2  # key and value, layers, width, tokens, bf16
    assert plain.low <= plain.total <= plain.high
    int8 = inference_memory(LLADA, replace(setting, quantization="int8"))
    assert int8.weights == pytest.approx(LLADA.linear_parameters() + 2 * (LLADA.parameters() - LLADA.linear_parameters()), rel=1e-3)
