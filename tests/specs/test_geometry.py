"""Parameter counts: those of the stock classes built without memory, and those that the hub shows for published checkpoints."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers.pytorch_utils import Conv1D

from dllm_run.specs.geometry import Geometry
from dllm_run.specs.published import PUBLISHED

Sizes = dict[str, Any]


def causal(config: str, **sizes: Any) -> Callable[[], tuple[Any, Any]]:
    return lambda: (transformers.AutoModelForCausalLM, getattr(transformers, config)(**sizes))


def masked(config: str, **sizes: Any) -> Callable[[], tuple[Any, Any]]:
    return lambda: (transformers.AutoModelForMaskedLM, getattr(transformers, config)(**sizes))


COMMON: Sizes = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 160, "vocab_size": 500}
SPECIAL: Sizes = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
FAMILIES = {
    "llama": causal("LlamaConfig", **COMMON),
    "llama-tied-gqa-biases": causal(
        "LlamaConfig", **COMMON, num_key_value_heads=2, tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    ),
    "llama-head-dim": causal("LlamaConfig", **COMMON, num_key_value_heads=3, head_dim=32),
    "mistral": causal("MistralConfig", **COMMON, num_key_value_heads=2),
    "qwen2": causal("Qwen2Config", **COMMON, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen3": causal("Qwen3Config", **COMMON, num_key_value_heads=2, head_dim=32),
    "qwen3-bias": causal("Qwen3Config", **COMMON, num_key_value_heads=6, head_dim=16, attention_bias=True, tie_word_embeddings=True),
    "gpt2": causal("GPT2Config", n_embd=96, n_layer=3, n_head=6, vocab_size=500, n_positions=64),
    "gpt2-inner": causal("GPT2Config", n_embd=96, n_layer=3, n_head=6, vocab_size=500, n_positions=64, n_inner=200),
    "bert": masked("BertConfig", **COMMON, max_position_embeddings=64),
    "roberta": masked("RobertaConfig", **COMMON, max_position_embeddings=66, type_vocab_size=1),
    "modernbert": masked("ModernBertConfig", **COMMON, **SPECIAL),
    "modernbert-biases": masked(
        "ModernBertConfig",
        **COMMON,
        **SPECIAL,
        attention_bias=True,
        mlp_bias=True,
        norm_bias=True,
        classifier_bias=True,
        decoder_bias=False,
    ),
    "albert": masked("AlbertConfig", **COMMON, embedding_size=32, max_position_embeddings=64),
    "albert-groups": masked("AlbertConfig", **COMMON, embedding_size=32, num_hidden_groups=3, max_position_embeddings=64),
    "albert-same-width": masked("AlbertConfig", **COMMON, embedding_size=96, inner_group_num=2),
}


def built(what: Callable[[], tuple[Any, Any]]) -> Any:
    auto, config = what()
    with torch.device("meta"):
        return auto.from_config(config)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def linear_weights(network: Any) -> int:
    output = network.get_output_embeddings()
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | Conv1D) and module is not output]
    return sum(module.weight.numel() for module in layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_config_counts_as_the_stock_class_that_it_makes(family: str) -> None:
    network = built(FAMILIES[family])
    geometry = Geometry.from_config(network.config.to_dict())
    assert geometry is not None
    assert geometry.parameters() == geometry.active_parameters() == parameters(network)
    assert geometry.linear_parameters() == linear_weights(network)


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_on_all_linear_layers_has_as_many_parameters_as_peft_trains(family: str) -> None:
    peft = pytest.importorskip("peft")
    network = built(FAMILIES[family])
    geometry = Geometry.from_config(network.config.to_dict())
    assert geometry is not None
    adapted = peft.get_peft_model(network, peft.LoraConfig(r=4, target_modules="all-linear"), low_cpu_mem_usage=True)
    assert geometry.lora_parameters(4) == sum(found.numel() for found in adapted.parameters() if found.requires_grad)


# A stock class with the same modules: LLaDA-MoE is a Qwen3 mixture, LLaDA2 a GLM-4.5 one (but for its fused query, key and value).
MIXTURES = {
    "inclusionAI/LLaDA-MoE-7B-A1B-Base": causal(
        "Qwen3MoeConfig", hidden_size=2048, num_hidden_layers=16, num_attention_heads=16, num_key_value_heads=16, head_dim=128,
        vocab_size=157184, num_experts=64, num_experts_per_tok=8, moe_intermediate_size=1024, mlp_only_layers=[], decoder_sparse_step=1,
    ),
    "inclusionAI/LLaDA2.0-mini": causal(
        "Glm4MoeConfig", hidden_size=2048, num_hidden_layers=20, num_attention_heads=16, num_key_value_heads=4, head_dim=128,
        intermediate_size=5120, vocab_size=157184, n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8,
        moe_intermediate_size=512, first_k_dense_replace=1, use_qk_norm=True, attention_bias=False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_of_experts_counts_as_a_stock_class_of_its_sizes(name: str) -> None:
    assert PUBLISHED[name].parameters() == parameters(built(MIXTURES[name]))


# As the hub counts them; LLaDA's and Dream's own texts say 8 B and 7 B, those of the mixtures 7 B and 16 B, 1.4 B active.
COUNTED = {
    "GSAI-ML/LLaDA-8B-Base": 8_015_581_184,
    "Dream-org/Dream-v0-Base-7B": 7_615_616_512,
    "answerdotai/ModernBERT-base": 149_655_232,
    "google-bert/bert-base-uncased": 109_514_298,
    "openai-community/gpt2": 124_439_808,
    "openai-community/gpt2-medium": 354_823_168,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_published_checkpoint_has_the_parameters_it_is_known_for(name: str) -> None:
    assert PUBLISHED[name].parameters() == COUNTED[name]


@pytest.mark.parametrize("name", [name for name, geometry in PUBLISHED.items() if geometry.experts])
def test_a_mixture_computes_a_token_with_the_share_it_is_known_for(name: str) -> None:
    geometry = PUBLISHED[name]
    without_table = geometry.active_parameters() - (geometry.vocabulary * geometry.width)
    assert 1.1e9 < without_table < 1.45e9  # "1.4 B activated": with the output matrix, and for LLaDA2 with both


def test_shared_layers_are_stored_once_and_computed_each_time() -> None:
    shared, own = (
        Geometry.from_config(transformers.AlbertConfig(**COMMON, embedding_size=32, num_hidden_groups=groups).to_dict())
        for groups in (1, 3)
    )
    assert shared is not None and own is not None
    assert shared.parameters() < own.parameters() and shared.body_products() == own.body_products()


LLADA = {
    "model_type": "llada", "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "mlp_hidden_size": 12288, "mlp_ratio": 4,
    "vocab_size": 126464, "embedding_size": 126464, "max_sequence_length": 4096, "weight_tying": False, "include_bias": False,
    "include_qkv_bias": False, "attention_layer_norm": False,
}  # fmt: skip
DREAM = {
    "model_type": "Dream", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "intermediate_size": 18944, "vocab_size": 152064, "max_position_embeddings": 131072, "tie_word_embeddings": False,
}  # fmt: skip


def test_the_config_files_of_llada_and_dream_are_read() -> None:
    assert Geometry.from_config(LLADA) == PUBLISHED["GSAI-ML/LLaDA-8B-Instruct"]
    assert Geometry.from_config(DREAM) == PUBLISHED["Dream-org/Dream-v0-Instruct-7B"]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="empty"),
        pytest.param({"model_type": "t5", "hidden_size": 8}, id="an-unknown-type"),
        pytest.param({"model_type": ["llama"]}, id="a-type-that-is-no-word"),
        pytest.param({**LLADA, "mlp_hidden_size": None}, id="a-missing-size"),
        pytest.param({**LLADA, "n_layers": "32"}, id="a-size-that-is-no-number"),
        pytest.param({**LLADA, "n_layers": True}, id="a-size-that-is-a-flag"),
        pytest.param({**LLADA, "include_bias": True}, id="a-variant-that-nobody-published"),
    ],
)
def test_a_config_that_is_not_understood_gives_nothing(config: Mapping[str, object]) -> None:
    assert Geometry.from_config(config) is None
