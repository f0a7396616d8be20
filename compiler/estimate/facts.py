"""What is known of a stage beyond its own fields: geometry, rows, tokenizer."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from dllm_run.specs.geometry import Geometry
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.stages.sample import HeldOut, Sample
from dllm_run.specs.vocabulary.training import Training

from ..follow import StageOf, adapter_of, data_of, dtype_of, geometry_of, origin_of, quantization_of, tokenizer_of
from ..sizes import Sizes
from . import Quantization
from .amounts import Size, TokenizerOf, longest_sequence, size_of

Modelled = Training | Sample | Eval
"""Stages that run a model."""


class Kept(NamedTuple):
    """How the weights of a model are held."""

    dtype: str
    quantization: Quantization | None
    adapter: Lora | None
    """What they carry; of an adapter from outside whose folder is not here the rank is assumed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a complete stage that runs a model."""

    stage: Modelled
    geometry: Geometry | None
    data: Data | None
    format: str
    tokenizer: TokenizerOf
    at_hand: Sizes | None
    kept: Kept
    """How the weights are held."""

    @property
    def size(self) -> Size | None:
        """Rows of the data; files are read when this is first asked."""
        return None if self.data is None else size_of(self.data, self.format, self.at_hand)

    @property
    def longest(self) -> int | None:
        """Tokens that no sequence of the data exceeds; the text of the spec alone says so."""
        return None if self.data is None else longest_sequence(self.data, size_of(self.data, self.format, None), self.tokenizer)


def facts_of(stage: Stage, stage_of: StageOf, at_hand: Sizes | None) -> Facts | None:
    """From the text of the spec alone where nothing is at hand; None for a stage without a model."""
    if not isinstance(stage, Modelled):
        return None
    source = _data_field(stage)
    data = None if source is None else data_of(source, stage_of)
    format = _format(stage, source, stage_of)
    geometry, tokenizer = geometry_of(stage.model, stage_of, at_hand), tokenizer_of(stage.model, stage_of)
    if geometry is not None and _reads_edit_heads(stage):
        geometry = replace(geometry, edit_heads=True)
    return Facts(stage, geometry, data, format, tokenizer, at_hand, _kept(stage, stage_of, at_hand))


def _reads_edit_heads(stage: Modelled) -> bool:
    if isinstance(stage, Training):
        return stage.objective.edit_heads
    return stage.sampler is not None and stage.sampler.edits


def _kept(stage: Modelled, stage_of: StageOf, at_hand: Sizes | None) -> Kept:
    found, adapter = quantization_of(stage.model, stage_of), adapter_of(stage.model, stage_of)
    if isinstance(adapter, str):
        adapter = (at_hand.adapter(adapter) if at_hand is not None else None) or Lora()
    return Kept(dtype_of(stage.model, stage_of), None if found is None else found.stored, adapter)


def deciding(stage: Stage, stage_of: StageOf) -> tuple[object, ...]:
    """The objects that the facts of a stage follow from: itself, the model that its weights began as, what lies over them, its data."""
    if not isinstance(stage, Modelled):
        return (stage,)
    source = _data_field(stage)
    weights = origin_of(stage.model, stage_of), quantization_of(stage.model, stage_of), adapter_of(stage.model, stage_of)
    return stage, *weights, None if source is None else data_of(source, stage_of)


def _data_field(stage: Modelled) -> Data | Reference | None:
    if isinstance(stage, Sample):
        return stage.prompts.data if isinstance(stage.prompts, HeldOut) else None
    return stage.data


def _format(stage: Stage, source: Data | Reference | None, stage_of: StageOf) -> str:
    prepared = stage_of(source.stage) if isinstance(source, Reference) else None
    return prepared.format if isinstance(prepared, DataStage) else stage.data_format or "text"
