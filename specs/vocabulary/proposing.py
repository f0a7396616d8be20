"""What the samplers have in common that fill in masks: how a token is chosen, which tokens are kept out, guidance."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf

from .samplers import Sampler

TokenName = str | int
"""A token: its text in the tokenizer's vocabulary, or its number."""
MASKS = Requirement(
    trait="trained.objective",
    values=("mdlm", "dream"),
    message="sampler {subject} fills in masks, and the model was trained by {trait}",
)
"""Row of the samplers that fill in masks in any order."""
BOTH_SIDES = Requirement(
    trait="model.attention",
    values=("bidirectional",),
    message="sampler {subject} reads both sides of a mask, and attention is {trait}",
)
"""Row of the samplers whose denoiser sees the whole row."""


def keeps(*caches: str) -> Requirement:
    """Row of the samplers some of whose caches keep keys and values."""
    return Requirement(
        subject="own.cache",
        trait="masked_architecture",
        values=(False,),
        when=(Condition(trait="own.cache", values=caches),),
        message="cache {subject} needs an architecture that keeps keys and values, and an encoder does not",
        cure=("own.cache", "none"),
        code="E602",
    )


GREEDY_FILTERS: tuple[Row, ...] = tuple(
    Inert(
        option=f"own.{name}",
        when=(Condition(trait="own.temperature", values=(0,)),),
        reason="at temperature 0 the most probable token is taken, whatever is left out",
    )
    for name in ("top_k", "top_p")
)
"""Rows of the samplers that rank by what the model says before anything is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing(Sampler):
    """Base of the samplers that choose a token where one is to be written."""

    temperature: float = leaf("0 takes the most probable token; above 0 tokens are drawn from softmax(logits / T).", default=0.0, minimum=0)
    top_k: int | None = leaf("Only so many of the most probable tokens can be chosen; null: all.", default=None, minimum=1)
    top_p: float | None = leaf(
        "Only the most probable tokens can be chosen that together have this probability; null: all.", default=None, above=0, maximum=1
    )
    suppress_tokens: tuple[TokenName, ...] = leaf("Tokens that are never written, by text or number.", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposing(Choosing):
    """Base of the samplers that propose a token for each masked position."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(
            option="own.cfg_keep_tokens",
            when=(Condition(trait="own.cfg_scale", values=(0,)),),
            reason="without guidance no token is masked that was given",
        ),
    )

    cfg_scale: float = leaf(
        "Guidance by what the model says without the prompt, u: logits u + (1 + scale) (c - u), at two forward passes a step; 0: none.",
        default=0.0,
        minimum=0,
    )
    cfg_keep_tokens: tuple[TokenName, ...] = leaf(
        "Given tokens that are not masked for u, by text or number.", default=(), example='["<|endoftext|>"]'
    )
    begin_suppress_tokens: tuple[TokenName, ...] = leaf(
        "Tokens that are not written at the first open position, by text or number: an end of text there would be an empty answer.",
        default=(),
    )

    def draws_random_numbers(self) -> bool:
        return self.temperature > 0


def guided(word: Proposing, passes: int) -> int:
    """Forward passes with those of guidance."""
    return passes * (2 if word.cfg_scale else 1)
