"""A model followed through references: to its origin, its tokenizer, its geometry."""

from collections.abc import Callable

from dllm_run.specs.geometry import Geometry
from dllm_run.specs.hub import hub_id
from dllm_run.specs.published import PUBLISHED
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.families import family_for
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.quantizations import Quantization
from dllm_run.specs.vocabulary.special_tokens import SpecialTokens
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.stages.tokenizer import TokenizerStage
from dllm_run.specs.vocabulary.tokenizers import Tokenizer
from dllm_run.specs.vocabulary.training import Training

from .sizes import Sizes

StageOf = Callable[[str], Stage]
"""The stage that a reference names: by name in a spec, by id in a plan."""
TypeOf = Callable[[str], str | None]
"""The model_type of weights from outside, by their locator."""


def model_of(reference: Reference, stage_of: StageOf) -> Model | Reference:
    """The model of the stage that a reference to a model leads to."""
    found = getattr(stage_of(reference.stage), "model", None)
    assert isinstance(found, Model | Reference), "a stage whose output is a model has one"
    return found


def origin_of(model: Model | Reference, stage_of: StageOf) -> Model:
    """The model that a chain of trainings began with: from scratch, or with weights from outside."""
    while True:
        source = model if isinstance(model, Reference) else model.from_
        if not isinstance(source, Reference):
            assert isinstance(model, Model)
            return model
        model = model_of(source, stage_of)


def tokenizer_of(model: Model | Reference, stage_of: StageOf) -> Tokenizer | Reference | str | None:
    """The tokenizer of a model's origin, never an edge to trained weights; None where a model from scratch has none, which is an error."""
    while True:
        if isinstance(model, Model) and model.tokenizer is not None:
            return model.tokenizer
        source = model if isinstance(model, Reference) else model.from_
        if not isinstance(source, Reference):
            assert isinstance(model, Model)
            return model.locator()
        model = model_of(source, stage_of)


def adapter_of(model: Model | Reference, stage_of: StageOf) -> Lora | str | None:
    """The adapter that lies over the weights of a model: as the stage trained it that left it there, or the locator beside the weights."""
    while True:
        if isinstance(model, Model):
            if model.adapter_from is not None or not isinstance(model.from_, Reference):
                return model.adapter_from
            model = model.from_
        stage = stage_of(model.stage)
        if not isinstance(stage, Training):
            return None
        if stage.model.lora is not None or stage.model.adapter != "continue":
            return stage.model.lora
        model = stage.model


def quantization_of(model: Model | Reference, stage_of: StageOf) -> Quantization | None:
    """How the weights of a model are stored: as it is named first on the way to its origin, but for stages that write whole weights."""
    while isinstance(model, Reference):
        if stage_of(model.stage).whole:
            return None
        model = model_of(model, stage_of)
    return model.quantization


def logit_shift_of(model: Model | Reference, stage_of: StageOf, type_of: TypeOf) -> int | None:
    """Where the logits of a model point: as written on the way to its origin, else by the family of that; None where it is not known."""
    while True:
        if isinstance(model, Model):
            if model.stated_shift is not None:
                return model.stated_shift
            if not isinstance(model.from_, Reference):
                locator = model.locator()
                return None if locator is None else shift_of_type(type_of(locator))
            model = model.from_
        model = model_of(model, stage_of)


def dtype_of(model: Model | Reference, stage_of: StageOf) -> str:
    """The number that the weights of a model are held in: as it is named first on the way to its origin."""
    while True:
        if isinstance(model, Model):
            found = model.completed().dtype
            if found is not None:
                return found
            assert isinstance(model.from_, Reference), "only what comes from a stage leaves it open"
            model = model.from_
        model = model_of(model, stage_of)


def special_tokens_of(model: Model | Reference, stage_of: StageOf) -> SpecialTokens | None:
    """The special tokens of a model: those that were named first on the way to its origin."""
    while True:
        if isinstance(model, Model):
            if model.special_tokens is not None or not isinstance(model.from_, Reference):
                return model.special_tokens
            model = model.from_
        model = model_of(model, stage_of)


def objective_of(model: Model | Reference, stage_of: StageOf) -> Objective | None:
    """The objective that last trained the weights of a model; None where no stage did."""
    while True:
        source = model if isinstance(model, Reference) else model.from_
        if not isinstance(source, Reference):
            return None
        stage = stage_of(source.stage)
        if isinstance(stage, Training):
            return stage.objective
        model = model_of(source, stage_of)


def shift_of_type(model_type: str | None) -> int | None:
    """The logit shift of published weights; 0 in no family, None where the type is not known."""
    if model_type is None:
        return None
    family = family_for(model_type)
    return 0 if family is None else family.logit_shift


def data_of(data: Data | Reference, stage_of: StageOf) -> Data:
    """The data set itself, also where a stage prepares it."""
    if isinstance(data, Data):
        return data
    stage = stage_of(data.stage)
    assert isinstance(stage, DataStage)
    return stage.data


def geometry_of(model: Model | Reference, stage_of: StageOf, at_hand: Sizes | None) -> Geometry | None:
    """The geometry of a model, from the text of the spec alone where nothing is at hand; None where it is not known."""
    origin = origin_of(model, stage_of).completed()
    if origin.scratch is not None:
        vocabulary = _vocabulary(origin.tokenizer, stage_of)
        return None if vocabulary is None else origin.scratch.geometry(vocabulary)
    if not isinstance(origin.from_, str):
        return None
    found = PUBLISHED.get(hub_id(origin.from_).name)
    return at_hand.geometry(origin.from_) if found is None and at_hand is not None else found


def _vocabulary(tokenizer: Tokenizer | Reference | None, stage_of: StageOf) -> int | None:
    if not isinstance(tokenizer, Reference):
        return None if tokenizer is None else tokenizer.size
    stage = stage_of(tokenizer.stage)
    return stage.vocab_size if isinstance(stage, TokenizerStage) else None
