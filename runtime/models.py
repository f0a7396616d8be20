"""Building and loading models: stock transformers classes, read bidirectionally, with their tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from dllm_run.specs.inputs import input_root
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.tokenizers import Tokenizer

from .build import build
from .context import Context
from .denoiser import Denoiser
from .failure import Failure
from .noise import Stream
from .tokenizers import Tokens, from_folder, from_word


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
        network = _fresh(context, model, tokens)
    else:
        source = model if isinstance(model, Reference) else model.locator() or model.from_
        assert source is not None, "a model has a source"
        folder = context.output_of(source) if isinstance(source, Reference) else _folder(context, source)
        own = model.tokenizer if isinstance(model, Model) else None
        tokens = tokenizer_of(context, own) if own is not None else from_folder(folder)
        network = _from_folder(context, folder, facts.dropout)
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
    return from_folder(context.output_of(source) if isinstance(source, Reference) else _folder(context, source))


def _folder(context: Context, locator: str) -> Path:
    context.input_files(locator)
    root = input_root(context.plan.inputs[locator], context.base)
    assert root is not None
    if not root.is_dir():
        raise Failure(f"{locator} is a file; a model is a folder with config.json and weights")
    return root


def _fresh(context: Context, model: Model, tokens: Tokens) -> Any:
    assert model.scratch is not None
    config = build(model.scratch)
    config.vocab_size = tokens.size
    config.attention_dropout = model.dropout
    config._attn_implementation = context.compute.attention_kernel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Stream(context.seed, "weights").integer())
        return AutoModelForCausalLM.from_config(config)


def _from_folder(context: Context, folder: Path, dropout: float) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise Failure(f"{folder} holds no model that transformers knows: {str(error).splitlines()[0]}") from None
    for name in vars(config):
        if "dropout" in name and isinstance(getattr(config, name), float):
            setattr(config, name, dropout)
    masked = any(name.endswith("ForMaskedLM") for name in config.architectures or ())
    if not masked:
        config.is_causal = False
    auto = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    network, info = auto.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        output_loading_info=True,
        dtype=torch.float32,
        attn_implementation=context.compute.attention_kernel,
    )
    problems = [
        f"{what} {sorted(map(str, info[what]))[:3]}" for what in ("missing_keys", "mismatched_keys", "error_msgs") if info.get(what)
    ]
    if problems:
        raise Failure(f"the weights in {folder} do not fit {type(network).__name__}: {'; '.join(problems)}")
    return network
