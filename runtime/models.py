"""Building and loading models: stock transformers classes, read bidirectionally, with their tokenizer."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dllm_run.specs.locator import root_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.special_tokens import SpecialTokens
from dllm_run.specs.vocabulary.tokenizers import Tokenizer

from .checkpoint import fresh, from_folder, shift_of
from .context import Context
from .denoiser import Denoiser
from .failure import Failure
from .mask_row import fill_row_of_mask
from .noise import Stream
from .tokenizers import Tokens, from_word
from .tokenizers import from_folder as tokens_of


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run."""

    denoiser: Denoiser
    tokens: Tokens


def load(context: Context, model: Model | Reference) -> Loaded:
    """The model of a stage. Raises Failure where weights, tokenizer or architecture do not fit."""
    facts = origin(context, model)
    assert facts.dtype is not None, "a plan is complete"
    if isinstance(model, Model) and model.scratch is not None:
        assert model.tokenizer is not None, "a model from scratch names its tokenizer"
        tokens = tokenizer_of(context, model.tokenizer, facts.special_tokens)
        network = fresh(model, tokens, context.compute, Stream(context.seed, "weights"))
    else:
        source = model if isinstance(model, Reference) else model.from_
        assert source is not None, "a model has a source"
        folder = context.output_of(source) if isinstance(source, Reference) else _folder(context, source)
        own = model.tokenizer if isinstance(model, Model) else None
        special = facts.special_tokens
        tokens = tokenizer_of(context, own, special) if own is not None else tokens_of(folder, special)
        network = from_folder(folder, context.compute, facts.dropout, facts.dtype)
        fill_row_of_mask(network, tokens)
    size = int(network.config.vocab_size)
    if tokens.size > size:
        raise Failure(f"the tokenizer has {tokens.size} tokens, the model's vocabulary only {size}")
    tokens = replace(tokens, rows=size)
    if context.compute.precision == "bf16" and context.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        context.note("this CPU has no bf16 instructions: fp32 is many times faster here (`-s compute.precision=fp32`)")
    shift = facts.logit_shift if facts.logit_shift is not None else shift_of(network)
    denoiser = Denoiser(network, mask_token=tokens.mask, logit_shift=shift)
    return Loaded(denoiser.to(context.device), tokens)


def origin(context: Context, model: Model | Reference) -> Model:
    """The facts of a model's weights: those stated where they were first named."""
    if isinstance(model, Reference):
        upstream: Any = context.plan.stages[model.stage].body
        return origin(context, upstream.model)
    return model


def tokenizer_of(context: Context, source: Tokenizer | Reference | str, special: SpecialTokens | None) -> Tokens:
    """A tokenizer from a word, a tokenizer stage, or the folder of a model."""
    if isinstance(source, Tokenizer):
        return from_word(source, context.base, special)
    return tokens_of(context.output_of(source) if isinstance(source, Reference) else _folder(context, source), special)


def _folder(context: Context, locator: str) -> Path:
    context.input_files(locator)
    root = root_of(locator, context.base)
    assert root is not None
    if not root.is_dir() and root.suffix != ".gguf":
        raise Failure(f"{locator} is a file; a model is a folder with config.json and weights, or a .gguf file")
    return root
