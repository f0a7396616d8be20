"""Folding an adapter into its weights."""

from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.reference import Reference

from ..model import Model
from . import ALONE, UNSEEDED, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge(Stage):
    """Fold the adapter of a model into its weights, in float32: a model that needs none. Output: `model`."""

    word: ClassVar[str] = "merge"
    outputs: ClassVar[tuple[str, ...]] = ("model",)
    inherits_model: ClassVar[bool] = True
    whole: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        *ALONE,
        UNSEEDED,
        Requirement(
            subject="stage.model",
            trait="carried",
            relation=Relation.GIVEN,
            when=(Condition(trait="nowhere", given=False),),
            message="there is no adapter to fold into these weights",
            label="a training with `lora` makes one, `adapter_from` names one",
            code="E534",
        ),
        Inert(option="compute.gradient_checkpointing", reason="only training goes backwards"),
        Inert(option="compute.compile", reason="only training compiles its layers"),
        Inert(option="compute.precision", reason="an adapter is folded in float32"),
        Inert(option="model.dropout", reason="only training drops anything"),
        Inert(option="model.quantization", reason="an adapter is folded into whole weights"),
    )

    model: Model | Reference = leaf("The model with its adapter.", output="model")

    def completed(self) -> "Merge":
        model = self.model if isinstance(self.model, Reference) else self.model.completed()
        return replace(self, model=model, compute=self.compute.completed())
