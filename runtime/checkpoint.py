"""Networks from nothing and from folders: stock transformers classes."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.model import Model

from .build import build
from .failure import Failure
from .noise import Stream
from .tokenizers import Tokens


def fresh(model: Model, tokens: Tokens, compute: Compute, stream: Stream) -> Any:
    """A network with random weights drawn from the stream."""
    assert model.scratch is not None
    config = build(model.scratch)
    config.vocab_size = tokens.size
    config.attention_dropout = model.dropout
    config._attn_implementation = compute.attention_kernel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.integer())
        return AutoModelForCausalLM.from_config(config)


def from_folder(folder: Path, compute: Compute, dropout: float) -> Any:
    """The network in a folder, read bidirectionally. Raises Failure where its files do not fit a stock architecture."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise Failure(f"{folder} holds no model that transformers knows: {str(error).splitlines()[0]}") from None
    for name in vars(config):
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(getattr(config, name), float):
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
        attn_implementation=compute.attention_kernel,
    )
    problems = [
        f"{what} {sorted(map(str, info[what]))[:3]}" for what in ("missing_keys", "mismatched_keys", "error_msgs") if info.get(what)
    ]
    if problems:
        raise Failure(f"the weights in {folder} do not fit {type(network).__name__}: {'; '.join(problems)}")
    return network
