"""Building and loading models: stock transformers classes, read bidirectionally, with their tokenizer."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dllm_run.specs.inputs import input_root
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.special_tokens import SpecialTokens
from dllm_run.specs.vocabulary.tokenizers import Tokenizer

from .adapters import CONFIG, adapter_in, freeze, fresh_adapter, is_adapter
from .checkpoint import DTYPES, fresh, from_folder, published_format, shift_of
from .context import Context
from .denoiser import Denoiser
from .edit_heads import load_heads
from .edit_record import EditRecord, note, record_of
from .edit_rows import opened
from .failure import Failure
from .kept import weights_of
from .mask_row import fill_row_of_mask
from .noise import Stream
from .tokenizers import Tokens, from_word
from .tokenizers import from_folder as tokens_of


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run."""

    denoiser: Denoiser
    tokens: Tokens
    added_mask: bool = False
    """Whether the weights never met the mask token, so that its row must be learned."""
    edits: EditRecord | None = None
    """With what Edit Flows have trained it last; None where nothing of the kind is known."""


def load(context: Context, model: Model | Reference, *, whole: bool = False) -> Loaded:
    """The model of a stage; `whole`: with its adapter folded into unquantised weights.

    Raises Failure where weights, tokenizer or architecture do not fit.
    """
    facts = origin(context, model)
    if isinstance(model, Model) and model.scratch is not None:
        assert model.tokenizer is not None, "a model from scratch names its tokenizer"
        tokens = tokenizer_of(context, model.tokenizer, facts.special_tokens)
        network, added = fresh(model, tokens, context.compute, Stream(context.seed, "weights")), False
    else:
        own = model.tokenizer if isinstance(model, Model) else None
        named = None if own is None else tokenizer_of(context, own, facts.special_tokens)
        network, tokens, added = _assembled(context, pieces_of(context, model), facts, named, whole=whole)
    size = int(network.config.vocab_size)
    if tokens.size > size:
        raise Failure(f"the tokenizer has {tokens.size} tokens, the model's vocabulary only {size}")
    tokens = replace(tokens, rows=size)
    if context.compute.precision == "bf16" and context.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        context.note("this CPU has no bf16 instructions: fp32 is many times faster here (`-s compute.precision=fp32`)")
    record = record_of(context, model, network)
    note(network, record)
    if record is not None:
        tokens = opened(tokens)  # as in training: what is edited has a token before it
    shift = facts.logit_shift if facts.logit_shift is not None else shift_of(network)
    denoiser = Denoiser(network, mask_token=tokens.mask, logit_shift=shift)
    return Loaded(denoiser.to(context.device), tokens, added, record)


def _assembled(context: Context, pieces: "Pieces", facts: Model, named: Tokens | None, *, whole: bool) -> tuple[Any, Tokens, bool]:
    """Network and tokens, and whether the mask token is one that these weights never met."""
    assert facts.dtype is not None, "a plan is complete"
    tokens = named or tokens_of(pieces.tokenizer, facts.special_tokens)
    # The folder of an adapter has the tokenizer with the mask that was added when it was made: the base lacks its row all the same.
    bare = tokens if named is not None or pieces.tokenizer == pieces.base else tokens_of(pieces.base, facts.special_tokens)
    quantization = None if whole else facts.quantization
    # What an adapter adds is smaller than what bf16 keeps of the weights that it is folded into.
    dtype = "float32" if whole or pieces.folded else facts.dtype
    network = from_folder(pieces.base, context.compute, facts.dropout, dtype, quantization)
    load_heads(network, pieces.base)
    fill_row_of_mask(network, bare)
    format = published_format(network)
    for folder in pieces.folded:
        adapter_in(network, folder, format).fold()
    if dtype != facts.dtype and not whole:
        network.to(DTYPES[facts.dtype])
    if pieces.adapter is not None:
        adapter = adapter_in(network, pieces.adapter, format, dropout=facts.dropout)
        if whole:
            adapter.fold()
    return network, tokens, bare.added_mask


def adapt(loaded: Loaded, model: Model, stream: Stream) -> None:
    """Make of a model what a training stage trains: a new adapter where one is asked for, else the weights, or the adapter that came."""
    network = loaded.denoiser.network
    if model.lora is not None:
        freeze(network)
        rows = (loaded.tokens.mask,) if loaded.added_mask else ()
        base = model.from_ if isinstance(model.from_, str) else ""
        fresh_adapter(network, model.lora, stream, published_format(network), rows=rows, base=base)


@dataclass(frozen=True, slots=True)
class Pieces:
    """What weights are put together from."""

    base: Path
    folded: tuple[Path, ...]
    """Adapters that are part of the weights, the first one first."""
    adapter: Path | None
    """An adapter on top of them."""
    tokenizer: Path


def pieces_of(context: Context, model: Model | Reference, checkpoint: str = "last") -> Pieces:
    """Where the weights that a stage starts from lie, its own `adapter` heeded. Raises Failure where something is missing.

    `checkpoint` says which weights of the stage that a reference names; a model says that itself.
    """
    if isinstance(model, Reference):
        folder = context.output_of(model)
        if checkpoint != "last":
            folder = weights_of(context.runs.entry(model.stage), checkpoint, context.plan.name_of(model.stage))
        if not is_adapter(folder):
            return Pieces(folder, (), None, folder)
        upstream: Any = context.plan.stages[model.stage].body
        below = pieces_of(context, upstream.model)
        # An adapter that went on stands in the place of the one that it began as.
        return Pieces(below.base, below.folded, folder, folder)
    assert model.from_ is not None, "a model has a source"
    if isinstance(model.from_, Reference):
        found = pieces_of(context, model.from_, model.checkpoint)
    else:
        locator = model.locator()
        assert locator is not None
        source = _folder(context, locator)
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
        facts = origin(context, upstream.model)
        return replace(facts, quantization=None) if upstream.whole else facts
    return model


def tokenizer_of(context: Context, source: Tokenizer | Reference | str, special: SpecialTokens | None) -> Tokens:
    """A tokenizer from a word, a tokenizer stage, or the folder of a model."""
    if isinstance(source, Tokenizer):
        return from_word(source, context.base, special)
    return tokens_of(context.output_of(source) if isinstance(source, Reference) else _folder(context, source), special)


def _folder(context: Context, locator: str) -> Path:
    context.input_files(locator)
    root = input_root(context.plan.inputs[locator], context.base)
    assert root is not None
    if not root.is_dir() and root.suffix != ".gguf":
        raise Failure(f"{locator} is a file; a model is a folder with config.json and weights, or a .gguf file")
    return root
