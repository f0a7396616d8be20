"""Converting a model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.reference import Reference

from ..conversions import Conversion
from ..model import Model
from . import ALONE, UNSEEDED, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert(Stage):
    """Make another model of one, without training. Output: `model`."""

    word: ClassVar[str] = "convert"
    outputs: ClassVar[tuple[str, ...]] = ("model",)
    inherits_model: ClassVar[bool] = True
    whole: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        *ALONE,
        Inert(option="compute.gradient_checkpointing", reason="only training goes backwards"),
        Inert(option="compute.compile", reason="only training compiles its layers"),
        Inert(option="model.dropout", reason="only training drops anything"),
        Inert(option="model.quantization", reason="what is written is whole"),
    )

    model: Model | Reference = leaf("The model that is converted.", output="model")
    to: Conversion = leaf("What it becomes.")

    def draws_random_numbers(self) -> bool:
        fresh = isinstance(self.model, Model) and self.model.scratch is not None
        return fresh or self.to.draws

    def adds_edit_heads(self) -> bool:
        return self.to.edit_heads

    def rows(self) -> Iterator[Row]:
        yield from self.table
        if not self.draws_random_numbers():
            yield UNSEEDED

    def completed(self) -> "Convert":
        model = self.model if isinstance(self.model, Reference) else self.model.completed()
        return replace(self, model=model, compute=self.compute.completed())
