"""Sampling."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem
from dllm_run.specs.reference import Reference

from ..data import Data
from ..model import Model
from ..samplers import Sampler, sampler_problems
from . import ALONE, UNSEEDED, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Which part of a held-out row is hidden."""

    ratio: float = leaf("Share of the tokens that are masked.", default=0.3, above=0, maximum=1)
    span: int = leaf("Tokens of one masked span.", unit="tokens", default=8, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Held-out rows with masked spans, to be restored."""

    data: Data | Reference = leaf("Data set whose hold-out is shown.", output="data")
    limit: int = leaf("Rows.", unit="rows", default=4, minimum=1)
    length: int | None = leaf(
        "Tokens of a row that are shown, from its start; null: the whole row.", unit="tokens", default=None, minimum=2
    )
    mask: Spans = leaf("Which part is hidden.", factory=Spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Stage):
    """Generate text, or restore masked spans, with a trace of the order. Output: `samples`."""

    word: ClassVar[str] = "sample"
    outputs: ClassVar[tuple[str, ...]] = ("samples",)
    inherits_model: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        *ALONE,
        Requirement(
            subject="prompts.data",
            trait="data.holdout",
            relation=Relation.GIVEN,
            when=(Condition(trait="data", given=True),),
            message="held-out rows are asked for, and the data set has no `holdout`",
            cure=("data.holdout", 0.05),
            code="E314",
        ),
        Inert(
            option="max_new_tokens",
            when=(Condition(trait="prompts.data", given=True),),
            reason="held-out rows keep their length",
        ),
        Inert(
            option="chat_template",
            when=(Condition(trait="prompts.data", given=True),),
            reason="held-out rows are laid out as they were trained on",
        ),
        Inert(
            option="verify",
            when=(Condition(trait="sampler.cache", values=(None, "none")),),
            reason="the sampler keeps nothing that could be compared with reading everything",
        ),
        Inert(option="compute.gradient_checkpointing", reason="only training goes backwards"),
        Inert(option="compute.compile", reason="only training compiles its layers"),
        Inert(option="model.dropout", reason="only training drops anything"),
    )

    model: Model | Reference = leaf("The model that samples.", output="model")
    prompts: tuple[str, ...] | HeldOut = leaf(
        "Texts to go on from, or {data, limit, length, mask}: held-out rows to restore. A text may be a template over the spec.",
        template="spec",
    )
    sampler: Sampler = leaf("How masked positions are filled in, or texts are edited.")
    max_new_tokens: int | None = leaf(
        "Tokens after each prompt, at most so many where a sampler edits; not for held-out rows, which keep their length.",
        unit="tokens",
        default=None,
        minimum=1,
    )
    chat_template: bool = leaf("Whether each prompt is put as a conversation that the model answers.", default=False)
    verify: int = leaf(
        "Prompts that are filled in again without the sampler's cache: the results then tell how many tokens are the same, how far the "
        "distributions are apart, and what the cache saves.",
        default=0,
        minimum=0,
    )
    batch: int = leaf("Prompts in one forward pass.", default=16, minimum=1, effect=Effect.NUMERICS)

    def draws_random_numbers(self) -> bool:
        fresh = isinstance(self.model, Model) and self.model.scratch is not None
        return fresh or isinstance(self.prompts, HeldOut) or self.sampler.draws_random_numbers()

    def rows(self) -> Iterator[Row]:
        yield from self.table
        if not self.draws_random_numbers():
            yield UNSEEDED

    def completed(self) -> "Sample":
        model = self.model if isinstance(self.model, Reference) else self.model.completed()
        return replace(self, model=model, sampler=self.sampler.completed(), compute=self.compute.completed())

    def problems(self) -> Iterator[Problem]:
        """What cannot be sampled."""
        if isinstance(self.prompts, HeldOut):
            return
        if not self.prompts:
            yield Problem(code="E106", message="no prompts", path=("prompts",), label='at least one text; "" starts from nothing')
        if self.max_new_tokens is None:
            yield Problem(
                code="E105",
                message="prompts that are texts need `max_new_tokens`",
                label="max_new_tokens: 128",
                fix=(("max_new_tokens",), 128),
            )
        else:
            yield from sampler_problems(self.sampler, self.max_new_tokens)
