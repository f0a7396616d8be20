"""The format of LLaDA's checkpoints: Llama's weights and sizes under the names of OLMo."""

from typing import Any

from transformers import PreTrainedConfig

from dllm_run.specs.vocabulary.families.llada import Llada

from ..failure import Failure
from . import Format
from . import build as build_stock

_SIZES = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "mlp_hidden_size": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
}
"""Entries of config.json under other names, which must be there."""
_COMMON = ("rms_norm_eps", "attention_dropout", "mask_token_id", "pad_token_id", "bos_token_id", "eos_token_id")
"""Entries that mean the same in both."""
_ALWAYS: dict[str, Any] = {
    "block_type": "llama",
    "activation_type": "silu",
    "layer_norm_type": "rms",
    "rope": True,
    "alibi": False,
    "include_bias": False,
    "attention_layer_norm": False,
    "input_emb_norm": False,
    "scale_logits": False,
    "clip_qkv": None,
    "block_group_size": 1,
}
"""What holds of every published checkpoint, and without which it is no Llama."""
_CODE = "GSAI-ML/LLaDA-8B-Base--"
"""Where the published code is: a folder made from scratch holds none."""


def build(word: Llada) -> PreTrainedConfig:
    """The configuration of the word; the caller sets the vocabulary."""
    return build_stock(word)


def _stock(said: dict[str, Any]) -> dict[str, Any]:
    other = [f"{name}: {said[name]}" for name, value in _ALWAYS.items() if name in said and said[name] != value]
    if other:
        raise Failure(f"this LLaDA is no Llama under other names: its config.json says {', '.join(other)}")
    missing = [name for name in _SIZES if not isinstance(said.get(name), int)]
    if missing:
        raise Failure(f"config.json of a LLaDA lacks {', '.join(missing)}")
    heads = said["n_heads"]
    kv_heads = 1 if said.get("multi_query_attention") else said.get("n_kv_heads") or heads
    return {
        # A bias on queries, keys and values alone is what Qwen2 has over Llama.
        "model_type": "qwen2" if said.get("include_qkv_bias") else "llama",
        **{stock: said[name] for name, stock in _SIZES.items()},
        **{name: said[name] for name in _COMMON if name in said},
        "num_key_value_heads": kv_heads,
        "head_dim": said["d_model"] // heads,
        # Rows of the matrix may be more than tokens.
        "vocab_size": said.get("embedding_size") or said["vocab_size"],
        "rope_theta": said.get("rope_theta", 10000.0),
        "rms_norm_eps": said.get("rms_norm_eps", 1e-5),
        "tie_word_embeddings": said.get("weight_tying", True),
    }


def _original(config: PreTrainedConfig) -> dict[str, Any]:
    said = config.to_dict()
    return {
        "architectures": ["LLaDAModelLM"],
        "auto_map": {
            "AutoConfig": f"{_CODE}configuration_llada.LLaDAConfig",
            "AutoModelForCausalLM": f"{_CODE}modeling_llada.LLaDAModelLM",
            "AutoModel": f"{_CODE}modeling_llada.LLaDAModelLM",
        },
        "model_type": "llada",
        **_ALWAYS,
        **{name: said[stock] for name, stock in _SIZES.items()},
        **{name: said[name] for name in _COMMON if name in said},
        "n_kv_heads": said["num_key_value_heads"],
        "vocab_size": said["vocab_size"],
        "embedding_size": said["vocab_size"],
        "rope_theta": said["rope_parameters"]["rope_theta"],
        "rope_full_precision": True,
        "weight_tying": said["tie_word_embeddings"],
        "include_qkv_bias": said["model_type"] == "qwen2",
        "bias_for_layer_norm": False,
        "layer_norm_with_affine": True,
        "attention_layer_norm_with_affine": True,
        "multi_query_attention": None,
        "embedding_dropout": 0.0,
        "residual_dropout": 0.0,
        "flash_attention": False,
        "init_device": "cpu",
        "use_cache": False,
    }


FORMAT = Format(
    stock=_stock,
    original=_original,
    names={
        "model.transformer.wte": "model.embed_tokens",
        "model.transformer.ln_f": "model.norm",
        "model.transformer.ff_out": "lm_head",
        "model.transformer.blocks.*.attn_norm": "model.layers.*.input_layernorm",
        "model.transformer.blocks.*.ff_norm": "model.layers.*.post_attention_layernorm",
        "model.transformer.blocks.*.q_proj": "model.layers.*.self_attn.q_proj",
        "model.transformer.blocks.*.k_proj": "model.layers.*.self_attn.k_proj",
        "model.transformer.blocks.*.v_proj": "model.layers.*.self_attn.v_proj",
        "model.transformer.blocks.*.attn_out": "model.layers.*.self_attn.o_proj",
        "model.transformer.blocks.*.ff_proj": "model.layers.*.mlp.gate_proj",
        "model.transformer.blocks.*.up_proj": "model.layers.*.mlp.up_proj",
        "model.transformer.blocks.*.ff_out": "model.layers.*.mlp.down_proj",
    },
)
