"""Building and loading models: stock transformers classes, read bidirectionally, with their tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dllm_run.specs.locator import root_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.tokenizers import Tokenizer

from .checkpoint import fresh, from_folder
from .context import Context
from .denoiser import Denoiser
from .edit_heads import load_heads
from .failure import Failure
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
    if isinstance(model, Model) and model.scratch is not None:
        assert model.tokenizer is not None, "a model from scratch names its tokenizer"
        tokens = tokenizer_of(context, model.tokenizer)
        network = fresh(model, tokens, context.compute, Stream(context.seed, "weights"))
    else:
        source = model if isinstance(model, Reference) else model.from_
        assert source is not None, "a model has a source"
        folder = context.output_of(source) if isinstance(source, Reference) else _folder(context, source)
        own = model.tokenizer if isinstance(model, Model) else None
        tokens = tokenizer_of(context, own) if own is not None else tokens_of(folder)
        network = from_folder(folder, context.compute, facts.dropout)
        load_heads(network, folder)
    size = int(network.config.vocab_size)
    if tokens.size > size:
        raise Failure(f"the tokenizer has {tokens.size} tokens, the model's vocabulary only {size}")
    if context.compute.precision == "bf16" and context.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        context.note("this CPU has no bf16 instructions: fp32 is many times faster here (`-s compute.precision=fp32`)")
    denoiser = Denoiser(network, mask_token=tokens.mask, logit_shift=facts.logit_shift)
    return Loaded(denoiser.to(context.device), tokens)


def origin(context: Context, model: Model | Reference) -> Model:
    """The facts of a model's weights: those stated where they were first named."""
    if isinstance(model, Reference):
        upstream: Any = context.plan.stages[model.stage].body
        return origin(context, upstream.model)
    return model


def tokenizer_of(context: Context, source: Tokenizer | Reference | str) -> Tokens:
    """A tokenizer from a word, a tokenizer stage, or the folder of a model."""
    if isinstance(source, Tokenizer):
        return from_word(source, context.base)
    return tokens_of(context.output_of(source) if isinstance(source, Reference) else _folder(context, source))


def _folder(context: Context, locator: str) -> Path:
    context.input_files(locator)
    root = root_of(locator, context.base)
    assert root is not None
    if not root.is_dir():
        raise Failure(f"{locator} is a file; a model is a folder with config.json and weights")
    return root
