"""Llama from scratch: the stock class with its causal mask switched off."""

from transformers import LlamaConfig

from dllm_run.specs.vocabulary.families.llama import Llama


def build(word: Llama) -> LlamaConfig:
    """The configuration of the word; the caller sets the vocabulary."""
    return LlamaConfig(
        hidden_size=word.width,
        intermediate_size=word.mlp,
        num_hidden_layers=word.layers,
        num_attention_heads=word.heads,
        num_key_value_heads=word.heads,
        max_position_embeddings=word.positions,
        tie_word_embeddings=word.tie_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": word.rope_theta},
        attention_dropout=0.0,
        is_causal=False,
        use_cache=False,
    )
