"""What the config.json of a checkpoint means: its family, and the stock architecture that computes it, read bidirectionally."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    PreTrainedConfig,
)

from dllm_run.specs.geometry import bare_type
from dllm_run.specs.vocabulary.families import Family, family_for

from .failure import Failure
from .families import Format, format_of

TRAINED = "edit_flow"
"""Key of what a training by Edit Flows has left for its sampler."""
_BOTH_WAYS = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layers whose mask decides who sees whom; the others (state spaces, chunks) look back by construction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A stock architecture, and where it came from."""

    config: PreTrainedConfig
    masked: bool
    """Whether it was made to fill in masks."""
    family: type[Family] | None
    form: Format | None
    edits: bool = False
    """Whether the checkpoint has the heads of an Edit Flow beside the language model."""


def read_config(source: Path) -> Architecture:
    """The architecture of a folder, or of a GGUF file. Raises Failure for what transformers has no class for, or what only looks back."""
    if source.suffix == ".gguf":
        return _gguf(source)
    said = _said(source)
    kind = said["model_type"]
    family = family_for(kind)
    form = format_of(family)
    plain = form.stock(said) if form is not None else {**said, "model_type": bare_type(kind)}
    if plain["model_type"] not in CONFIG_MAPPING:
        own = "; code that comes with it is never run" if "auto_map" in said else ""
        raise Failure(f"{source.name} is a model of type {kind}, which the transformers installed here does not know{own}")
    plain = {name: value for name, value in plain.items() if name not in ("auto_map", TRAINED)}
    try:
        config = CONFIG_MAPPING[plain["model_type"]].from_dict(plain)
    except (StrictDataclassError, ValueError, TypeError, KeyError) as error:
        raise Failure(f"config.json of {source.name} does not fit {plain['model_type']}: {_line(error)}") from None
    if TRAINED in said:
        setattr(config, TRAINED, said[TRAINED])
    if form is not None:
        # What the format says beside the stock configuration goes back to where it came from.
        config.published = said
    return _read_both_ways(source, config, family, form, edits=kind.startswith("editflow-"))


def _said(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        inside = sorted(folder.glob("checkpoint-*/config.json"), key=lambda found: _step(found.parent))
        if inside:
            names = [found.parent.name for found in inside]
            raise Failure(f"{folder} holds no model, but checkpoints of one: {', '.join(names)}; the newest is {folder / names[-1]}")
        raise Failure(f"{folder} holds no model: there is no config.json in it")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Failure(f"{path} is not JSON: {error}") from None
    if not isinstance(said, dict) or not isinstance(said.get("model_type"), str):
        raise Failure(f"{path} names no model_type")
    return said


def _step(folder: Path) -> int:
    number = folder.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else -1


def _gguf(file: Path) -> Architecture:
    try:
        config = AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise Failure(f"{file.name} is no GGUF file that transformers can read: {_line(error)}") from None
    return _read_both_ways(file, config, family_for(config.model_type), None, edits=False)


def _read_both_ways(
    source: Path, config: PreTrainedConfig, family: type[Family] | None, form: Format | None, *, edits: bool
) -> Architecture:
    masked = _is_masked(source, config, family)
    if not masked:
        said = vars(config)
        kinds = said.get("layer_types")
        odd = sorted(set(kinds or ()) - _BOTH_WAYS)
        if odd:
            raise Failure(f"{source.name} has layers of kind {', '.join(odd)}, which only look back: it cannot fill in masks")
        config.is_causal = False
        if kinds is None and said.get("sliding_window") is not None:
            # A window that has no kind of layer to itself cannot be told to see all.
            config.sliding_window = None
    return Architecture(config=config, masked=masked, family=family, form=form, edits=edits)


def _is_masked(source: Path, config: PreTrainedConfig, family: type[Family] | None) -> bool:
    if family is not None:
        return family.masked
    kind = type(config)
    causal, masked = kind in MODEL_FOR_CAUSAL_LM_MAPPING, kind in MODEL_FOR_MASKED_LM_MAPPING
    if not causal and not masked:
        raise Failure(f"{source.name} is a {config.model_type}: there is no language model of that kind in transformers")
    # Encoders can often be decoders too: what the weights were made as decides.
    return masked and (not causal or any(name.endswith("ForMaskedLM") for name in config.architectures or ()))


def set_dropout(config: PreTrainedConfig, rate: float) -> None:
    """Give every dropout module the same rate, also those that a checkpoint has a rate of its own for."""
    for name, value in vars(config).items():
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, rate)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
