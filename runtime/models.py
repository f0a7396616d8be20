"""Building and loading models: stock transformers classes, read bidirectionally, with their tokenizer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dllm_run.specs.locator import root_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.tokenizers import Tokenizer

from .adapters import CONFIG, adapter_in, freeze, fresh_adapter, is_adapter
from .checkpoint import fresh, from_folder, published_format, shift_of
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


def load(context: Context, model: Model | Reference, *, whole: bool = False) -> Loaded:
    """The model of a stage; `whole`: with its adapter folded into unquantised weights.

    Raises Failure where weights, tokenizer or architecture do not fit.
    """
    facts = origin(context, model)
    quantization = facts.quantization if not whole else None
    if isinstance(model, Model) and model.scratch is not None:
        assert model.tokenizer is not None, "a model from scratch names its tokenizer"
        tokens = tokenizer_of(context, model.tokenizer)
        network = fresh(model, tokens, context.compute, Stream(context.seed, "weights"))
    else:
        pieces = pieces_of(context, model)
        own = model.tokenizer if isinstance(model, Model) else None
        tokens = tokenizer_of(context, own) if own is not None else tokens_of(pieces.tokenizer)
        network = from_folder(pieces.base, context.compute, facts.dropout, quantization)
        load_heads(network, pieces.base)
        format = published_format(network)
        for folder in pieces.folded:
            adapter_in(network, folder, format).fold()
        if pieces.adapter is not None:
            adapter = adapter_in(network, pieces.adapter, format)
            if whole:
                adapter.fold()
    size = int(network.config.vocab_size)
    if tokens.size > size:
        raise Failure(f"the tokenizer has {tokens.size} tokens, the model's vocabulary only {size}")
    if context.compute.precision == "bf16" and context.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        context.note("this CPU has no bf16 instructions: fp32 is many times faster here (`-s compute.precision=fp32`)")
    shift = facts.logit_shift if facts.logit_shift is not None else shift_of(network)
    denoiser = Denoiser(network, mask_token=tokens.mask, logit_shift=shift)
    return Loaded(denoiser.to(context.device), tokens)


def adapt(loaded: Loaded, model: Model, stream: Stream) -> None:
    """Make of a model what a training stage trains: a new adapter where one is asked for, else the weights, or the adapter that came."""
    network = loaded.denoiser.network
    if model.lora is not None:
        freeze(network)
        fresh_adapter(network, model.lora, stream, published_format(network))


@dataclass(frozen=True, slots=True)
class Pieces:
    """What weights are put together from."""

    base: Path
    folded: tuple[Path, ...]
    """Adapters that are part of the weights, the first one first."""
    adapter: Path | None
    """An adapter on top of them."""
    tokenizer: Path


def pieces_of(context: Context, model: Model | Reference) -> Pieces:
    """Where the weights that a stage starts from lie, its own `adapter` heeded. Raises Failure where something is missing."""
    if isinstance(model, Reference):
        folder = context.output_of(model)
        if not is_adapter(folder):
            return Pieces(folder, (), None, folder)
        upstream: Any = context.plan.stages[model.stage].body
        below = pieces_of(context, upstream.model)
        # An adapter that went on stands in the place of the one that it began as.
        return Pieces(below.base, below.folded, folder, folder)
    assert model.from_ is not None, "a model has a source"
    if isinstance(model.from_, Reference):
        found = pieces_of(context, model.from_)
    else:
        source = _folder(context, model.from_)
        if is_adapter(source):
            base = json.loads((source / CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
            advice = f"`from: {base or 'the weights below it'}` and `adapter_from: {model.from_}`"
            raise Failure(f"{model.from_} holds an adapter alone: {advice}")

        found = Pieces(source, (), None, source)
    if model.adapter_from is not None:
        adapter = _folder(context, model.adapter_from)
        own = (adapter / "tokenizer.json").is_file()
        found = Pieces(found.base, found.folded, adapter, adapter if own else found.tokenizer)
    if found.adapter is None or model.adapter in (None, "continue"):
        return found
    folded = (*found.folded, found.adapter) if model.adapter == "merge" else found.folded
    return Pieces(found.base, folded, None, found.tokenizer)


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
