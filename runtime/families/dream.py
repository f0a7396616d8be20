"""The format of Dream's checkpoints: weights as Qwen2 has them, under a config of its own."""

from typing import Any

from transformers import PreTrainedConfig

from dllm_run.specs.vocabulary.families.dream import Dream

from ..failure import Failure
from . import Format
from . import build as build_stock

_COMMON = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_act",
    "max_position_embeddings", "initializer_range", "rms_norm_eps", "tie_word_embeddings", "attention_dropout", "mask_token_id",
    "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
"""Entries of config.json that mean the same in both."""
_CODE = "Dream-org/Dream-v0-Base-7B--"
"""Where the published code is: a folder made from scratch holds none."""


def build(word: Dream) -> PreTrainedConfig:
    """The configuration of the word; the caller sets the vocabulary."""
    return build_stock(word)


def _stock(said: dict[str, Any]) -> dict[str, Any]:
    if said.get("use_sliding_window") or said.get("rope_scaling"):
        raise Failure("a Dream with a sliding window or scaled rotary positions was never published: its config.json cannot be read")
    found = {name: said[name] for name in _COMMON if name in said}
    return {"model_type": "qwen2", **found, "rope_theta": said.get("rope_theta", 10000.0)}


def _original(config: PreTrainedConfig) -> dict[str, Any]:
    said = config.to_dict()
    return {
        "architectures": ["DreamModel"],
        "auto_map": {"AutoConfig": f"{_CODE}configuration_dream.DreamConfig", "AutoModel": f"{_CODE}modeling_dream.DreamModel"},
        "model_type": "Dream",
        **{name: said[name] for name in _COMMON if name in said},
        "rope_theta": said["rope_parameters"]["rope_theta"],
        "rope_scaling": None,
        "sliding_window": None,
        "use_sliding_window": False,
        "max_window_layers": said["num_hidden_layers"],
        "use_cache": True,
    }


FORMAT = Format(stock=_stock, original=_original, tokenizer="Qwen2Tokenizer")
