"""Geometries of published checkpoints by their hub id, so that a plan needs no network to estimate them."""

from .geometry import Geometry


def _from(model_type: str, **sizes: int | bool) -> Geometry:
    found = Geometry.from_config({"model_type": model_type, **sizes})
    assert found is not None, f"{model_type} {sizes} lacks a size"
    return found


def _of(layers: int, width: int, heads: int, mlp: int, vocab_size: int, positions: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": mlp,
        "vocab_size": vocab_size, "max_position_embeddings": positions,
    }  # fmt: skip


def _qwen3(layers: int, width: int, heads: int, mlp: int, *, tied: bool = True, positions: int = 40960) -> Geometry:
    return _from("qwen3", **_of(layers, width, heads, mlp, 151936, positions), num_key_value_heads=8, tie_word_embeddings=tied)


def _qwen25(layers: int, width: int, heads: int, mlp: int, *, positions: int = 32768) -> Geometry:
    return _from("qwen2", **_of(layers, width, heads, mlp, 151936, positions), num_key_value_heads=2, tie_word_embeddings=True)


def _smollm2(layers: int, width: int, heads: int, kv_heads: int, mlp: int) -> Geometry:
    return _from("llama", **_of(layers, width, heads, mlp, 49152, 8192), num_key_value_heads=kv_heads, tie_word_embeddings=True)


def _llama3(layers: int, width: int, heads: int, mlp: int, *, tied: bool) -> Geometry:
    return _from("llama", **_of(layers, width, heads, mlp, 128256, 131072), num_key_value_heads=8, tie_word_embeddings=tied)


_LLADA = _from("llama", **_of(32, 4096, 32, 12288, 126464, 4096))
_QWEN25_7B = _from("qwen2", **_of(28, 3584, 28, 18944, 152064, 131072), num_key_value_heads=4)
# Mixtures of experts: norms are two of a layer, those of query and key heads, and the last.
_LLADA_MOE = Geometry(
    layers=16, width=2048, heads=16, kv_heads=16, head_dim=128, mlp=0, vocabulary=157184, positions=8192, tied=False, qk_norm=True,
    norm_parameters=16 * (2 * 2048 + 2 * 128) + 2048, experts=64, active_experts=8, expert_mlp=1024,
)  # fmt: skip
_LLADA2_MINI = Geometry(
    layers=20, width=2048, heads=16, kv_heads=4, head_dim=128, mlp=5120, vocabulary=157184, positions=32768, tied=False, qk_norm=True,
    norm_parameters=20 * (2 * 2048 + 2 * 128) + 2048, fused_qkv=True,
    experts=256, active_experts=8, shared_experts=1, expert_mlp=512, dense_layers=1,
)  # fmt: skip

PUBLISHED: dict[str, Geometry] = {
    "GSAI-ML/LLaDA-8B-Base": _LLADA,
    "GSAI-ML/LLaDA-8B-Instruct": _LLADA,
    "GSAI-ML/LLaDA-1.5": _LLADA,
    "Dream-org/Dream-v0-Base-7B": _QWEN25_7B,
    "Dream-org/Dream-v0-Instruct-7B": _QWEN25_7B,
    "inclusionAI/LLaDA-MoE-7B-A1B-Base": _LLADA_MOE,
    "inclusionAI/LLaDA2.0-mini": _LLADA2_MINI,
    "answerdotai/ModernBERT-base": _from("modernbert", **_of(22, 768, 12, 1152, 50368, 8192)),
    "answerdotai/ModernBERT-large": _from("modernbert", **_of(28, 1024, 16, 2624, 50368, 8192)),
    "google-bert/bert-base-uncased": _from("bert", **_of(12, 768, 12, 3072, 30522, 512), type_vocab_size=2),
    "google-bert/bert-large-uncased": _from("bert", **_of(24, 1024, 16, 4096, 30522, 512), type_vocab_size=2),
    "FacebookAI/roberta-base": _from("roberta", **_of(12, 768, 12, 3072, 50265, 514), type_vocab_size=1),
    "FacebookAI/roberta-large": _from("roberta", **_of(24, 1024, 16, 4096, 50265, 514), type_vocab_size=1),
    "openai-community/gpt2": _from("gpt2", n_layer=12, n_embd=768, n_head=12, vocab_size=50257, n_positions=1024),
    "openai-community/gpt2-medium": _from("gpt2", n_layer=24, n_embd=1024, n_head=16, vocab_size=50257, n_positions=1024),
    "Qwen/Qwen3-0.6B": _qwen3(28, 1024, 16, 3072),
    "Qwen/Qwen3-0.6B-Base": _qwen3(28, 1024, 16, 3072, positions=32768),
    "Qwen/Qwen3-1.7B": _qwen3(28, 2048, 16, 6144),
    "Qwen/Qwen3-1.7B-Base": _qwen3(28, 2048, 16, 6144, positions=32768),
    "Qwen/Qwen3-4B": _qwen3(36, 2560, 32, 9728),
    "Qwen/Qwen3-4B-Base": _qwen3(36, 2560, 32, 9728, positions=32768),
    "Qwen/Qwen3-8B": _qwen3(36, 4096, 32, 12288, tied=False),
    "Qwen/Qwen3-8B-Base": _qwen3(36, 4096, 32, 12288, tied=False, positions=32768),
    "Qwen/Qwen2.5-0.5B": _qwen25(24, 896, 14, 4864),
    "Qwen/Qwen2.5-0.5B-Instruct": _qwen25(24, 896, 14, 4864),
    "Qwen/Qwen2.5-1.5B": _qwen25(28, 1536, 12, 8960, positions=131072),
    "Qwen/Qwen2.5-7B": _QWEN25_7B,
    "meta-llama/Llama-3.2-1B": _llama3(16, 2048, 32, 8192, tied=True),
    "meta-llama/Llama-3.2-3B": _llama3(28, 3072, 24, 8192, tied=True),
    "meta-llama/Llama-3.1-8B": _llama3(32, 4096, 32, 14336, tied=False),
    "HuggingFaceTB/SmolLM2-135M": _smollm2(30, 576, 9, 3, 1536),
    "HuggingFaceTB/SmolLM2-135M-Instruct": _smollm2(30, 576, 9, 3, 1536),
    "HuggingFaceTB/SmolLM2-360M": _smollm2(32, 960, 15, 5, 2560),
    "HuggingFaceTB/SmolLM2-360M-Instruct": _smollm2(32, 960, 15, 5, 2560),
    "HuggingFaceTB/SmolLM2-1.7B": _smollm2(24, 2048, 32, 32, 8192),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _smollm2(24, 2048, 32, 32, 8192),
}

_TYPES = {
    "GSAI-ML/LLaDA": "llada",
    "Dream-org/Dream": "Dream",
    "inclusionAI/LLaDA-MoE": "lladamoe",
    "inclusionAI/LLaDA2": "llada2_moe",
    "answerdotai/ModernBERT": "modernbert",
    "google-bert/": "bert",
    "FacebookAI/roberta": "roberta",
    "openai-community/": "gpt2",
    "Qwen/Qwen3": "qwen3",
    "Qwen/Qwen2.5": "qwen2",
    "meta-llama/": "llama",
    "HuggingFaceTB/SmolLM2": "llama",
}
"""Beginnings of their ids, with what their config.json says."""


def published_type(name: str) -> str | None:
    """The model_type of a checkpoint that is listed here."""
    return next(kind for start, kind in _TYPES.items() if name.startswith(start)) if name in PUBLISHED else None
