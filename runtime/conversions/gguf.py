"""A GGUF file: weights under the names of llama.cpp, and the tokenizer."""

import functools
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Number
from torch import Tensor

from dllm_run.specs.vocabulary.conversions.gguf import Gguf

from ..context import Context
from ..edit_heads import has_heads
from ..failure import Failure
from ..gguf_tokenizer import vocabulary_of
from ..models import Loaded
from . import Converted

_ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}
_INTERLEAVED = frozenset({"llama"})
"""Architectures whose rotary pairs are neighbours in GGUF; transformers has the two halves of a head one after the other."""
_NUMBERS = {"f32": Number.F32, "f16": Number.F16, "q8_0": Number.Q8_0}
_FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
_PLAIN, _LLAMA3 = "default", "llama3"
"""Kinds of rotary positions that a GGUF file of these architectures can say."""


def file_of(word: Gguf, context: Context, loaded: Loaded, folder: Path) -> dict[str, Any]:
    """Write `model.gguf`. Raises Failure for what the format cannot hold."""
    network = loaded.denoiser.network
    _refuse(network)
    vocabulary = vocabulary_of(loaded.tokens, int(network.config.vocab_size))
    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / "model.gguf", network.config.model_type)
    writer.add_name(f"dllm-run {context.stage_id}")
    writer.add_file_type(_FILE_TYPES[word.dtype])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _write_sizes(writer, network)
    writer.add_diffusion_shift_logits(bool(loaded.denoiser.logit_shift))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    _write_specials(writer, loaded)
    for name, value in _tensors(network):
        _write_tensor(writer, name, value, _NUMBERS[word.dtype])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    count = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": count, "bytes": (folder / "model.gguf").stat().st_size}


def build(word: Gguf) -> Converted:
    """The conversion of the word."""
    return functools.partial(file_of, word)


def _refuse(network: Any) -> None:
    config = network.config
    if config.model_type not in _ARCHITECTURES:
        raise Failure(f"a {config.model_type} cannot be written as GGUF here, only {', '.join(_ARCHITECTURES)}: `to: hub` writes it")
    if has_heads(network):
        raise Failure("GGUF has no place for heads for edits: their rates would be lost")
    kind = config.rope_parameters["rope_type"]
    if kind not in (_PLAIN, _LLAMA3):
        raise Failure(f"rotary positions of type {kind} cannot be written as GGUF here: `to: hub` keeps them")


def _write_sizes(writer: gguf.GGUFWriter, network: Any) -> None:
    config = network.config
    head = _head_dim(network)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_causal_attention(False)


def _write_specials(writer: gguf.GGUFWriter, loaded: Loaded) -> None:
    fast = loaded.tokens.fast
    writer.add_mask_token_id(loaded.tokens.mask)
    known = {
        writer.add_bos_token_id: fast.bos_token_id,
        writer.add_eos_token_id: fast.eos_token_id,
        writer.add_pad_token_id: fast.pad_token_id,
        writer.add_unk_token_id: fast.unk_token_id,
    }
    for add, token in known.items():
        if token is not None:
            add(int(token))
    writer.add_add_bos_token(bool(loaded.tokens.begin))
    writer.add_add_eos_token(False)
    if fast.chat_template is not None:
        writer.add_chat_template(fast.chat_template)


def _tensors(network: Any) -> list[tuple[str, Tensor]]:
    """Every weight under the name and in the layout that the format has for it."""
    config = network.config
    names = gguf.get_tensor_name_map(_ARCHITECTURES[config.model_type], config.num_hidden_layers)
    tied = set(network.all_tied_weights_keys or ())
    found = []
    for name, value in network.state_dict().items():
        if name in tied:
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise Failure(f"GGUF has no name for the tensor {name} of a {config.model_type}")
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        turned = heads is not None and config.model_type in _INTERLEAVED
        found.append((known, _interleaved(value, heads) if turned and heads is not None else value))
    if config.rope_parameters["rope_type"] == _LLAMA3:
        found.append(("rope_freqs.weight", _slowed(network)))
    return found


def _interleaved(value: Tensor, heads: int) -> Tensor:
    """Rows of a matrix, or of its bias, with the two halves of every head between each other."""
    return value.view(heads, 2, -1, *value.shape[1:]).transpose(1, 2).reshape(value.shape)


def _slowed(network: Any) -> Tensor:
    """By how much Llama 3 slows each rotary frequency: GGUF has this as a tensor."""
    head = _head_dim(network)
    plain = float(network.config.rope_parameters["rope_theta"]) ** -(torch.arange(0, head, 2, dtype=torch.float64) / head)
    own: Tensor = network.base_model.rotary_emb.inv_freq.double().cpu()
    return (plain / own).float()


def _head_dim(network: Any) -> int:
    config = network.config
    return int(vars(config).get("head_dim") or config.hidden_size // config.num_attention_heads)


def _write_tensor(writer: gguf.GGUFWriter, name: str, value: Tensor, number: Number) -> None:
    data = np.ascontiguousarray(value.detach().float().cpu().numpy())
    if data.ndim < 2:
        number = Number.F32
    elif number is Number.Q8_0 and data.shape[-1] % gguf.GGML_QUANT_SIZES[number][0]:
        number = Number.F16  # a row that is no whole number of blocks
    writer.add_tensor(name, gguf.quantize(data, number), raw_dtype=number)
