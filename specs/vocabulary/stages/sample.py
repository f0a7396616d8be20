"""Sampling."""

from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.reference import Reference

from ..data import Data
from ..model import Model
from ..samplers import Sampler
from . import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Which part of a held-out row is hidden."""

    ratio: float = leaf("Share of the tokens that are masked.", default=0.3, above=0, maximum=1)
    span: int = leaf("Tokens of one masked span.", unit="tokens", default=8, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Held-out rows with masked spans, to be restored."""

    data: Data | Reference = leaf("Data set whose hold-out is shown.")
    limit: int = leaf("Rows.", unit="rows", default=4, minimum=1)
    length: int | None = leaf("Tokens of a row that are shown, from its start; null: the whole row.", unit="tokens", default=None, minimum=2)
    mask: Spans = leaf("Which part is hidden.", factory=Spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Stage):
    """Generate text, or restore masked spans, with a trace of the order. Output: `samples`."""

    word: ClassVar[str] = "sample"
    outputs: ClassVar[tuple[str, ...]] = ("samples",)
    inherits_model: ClassVar[bool] = True

    model: Model | Reference = leaf("The model that samples.")
    prompts: tuple[str, ...] | HeldOut = leaf("Texts to go on from, or {data, limit, length, mask}: held-out rows to restore.")
    sampler: Sampler = leaf("How masked positions are filled in.")
    max_new_tokens: int = leaf("Tokens after each prompt; held-out rows keep their length.", unit="tokens", default=128, minimum=1)
    batch: int = leaf("Prompts in one forward pass.", default=16, minimum=1, effect=Effect.NUMERICS)

    def draws_random_numbers(self) -> bool:
        return isinstance(self.prompts, HeldOut) or self.sampler.draws_random_numbers()

    def completed(self) -> "Sample":
        model = self.model if isinstance(self.model, Reference) else self.model.completed()
        return replace(self, model=model, compute=self.compute.completed())
