"""What the samplers have in common that fill in masks: how a token is chosen, which tokens are kept out, guidance, ranking."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem, nearest_divisors, nearest_multiples

from .samplers import Sampler
from .schedules import Schedule
from .schedules.linear import Linear

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
class Proposing(Sampler):
    """Base of the samplers that propose a token for each masked position."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(
            option="own.cfg_keep_tokens",
            when=(Condition(trait="own.cfg_scale", values=(0,)),),
            reason="without guidance no token is masked that was given",
        ),
    )

    temperature: float = leaf("0 takes the most probable token; above 0 tokens are drawn from softmax(logits / T).", default=0.0, minimum=0)
    top_k: int | None = leaf("Only so many of the most probable tokens can be chosen; null: all.", default=None, minimum=1)
    top_p: float | None = leaf(
        "Only the most probable tokens can be chosen that together have this probability; null: all.", default=None, above=0, maximum=1
    )
    cfg_scale: float = leaf(
        "Guidance by what the model says without the prompt, u: logits u + (1 + scale) (c - u), at two forward passes a step; 0: none.",
        default=0.0,
        minimum=0,
    )
    cfg_keep_tokens: tuple[TokenName, ...] = leaf(
        "Given tokens that are not masked for u, by text or number.", default=(), example='["<|endoftext|>"]'
    )
    suppress_tokens: tuple[TokenName, ...] = leaf("Tokens that are never written, by text or number.", default=())
    begin_suppress_tokens: tuple[TokenName, ...] = leaf(
        "Tokens that are not written at the first open position, by text or number: an end of text there would be an empty answer.",
        default=(),
    )

    def draws_random_numbers(self) -> bool:
        return self.temperature > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Proposing):
    """Base of the samplers that commit what ranks highest."""

    remasking: str = leaf(
        "What stays masked: tokens of low confidence, of a small margin over the next token, of high entropy, or random ones.",
        default="low_confidence",
        choices=("low_confidence", "margin", "entropy", "random"),
    )
    defer_tokens: tuple[TokenName, ...] = leaf(
        "Tokens that are committed when nothing else is left, by text or number (`confidence_eos_eot_inf` of LLaDA).", default=()
    )

    def draws_random_numbers(self) -> bool:
        return self.temperature > 0 or self.remasking == "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota(Ranking):
    """Base of the samplers that can share their steps by a schedule."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(
            option="own.schedule",
            when=(Condition(trait="own.steps", values=(None,)),),
            reason="with one token a step there is nothing to share",
        ),
        *Proposing.table,
    )

    steps: int | None = leaf(
        "Forward passes in total, shared by the blocks in proportion; null: one token a step.", unit="steps", default=None, minimum=1
    )
    schedule: Schedule = leaf(
        "How many tokens the steps of a block commit: as many as alpha grows by; linear: equally many.", factory=Linear
    )

    def passes(self, tokens: int) -> int:
        return guided(self, min(tokens, self.steps or tokens))


def guided(word: Proposing, passes: int) -> int:
    """Forward passes with those of guidance."""
    return passes * (2 if word.cfg_scale else 1)


def block_problems(tokens: int, block_size: int | None, steps: int | None) -> Iterator[Problem]:
    """What does not work out of blocks that start where the prompt ends."""
    block = block_size or tokens
    if tokens % block:
        legal = nearest_divisors(tokens, block)
        yield Problem(
            code="E316",
            message=f"blocks of {block} tokens do not fill {tokens} tokens",
            path=("block_size",),
            notes=(f"nearest legal: block_size {' or '.join(map(str, legal))}",),
            fix=(("block_size",), legal[0]),
        )
        return
    blocks = tokens // block
    if steps is None:
        return
    if steps % blocks:
        legal = nearest_multiples(blocks, steps)
        yield Problem(
            code="E317",
            message=f"{steps} steps cannot be shared evenly by {blocks} blocks",
            path=("steps",),
            notes=(f"nearest legal: steps {' or '.join(map(str, legal))}",),
            fix=(("steps",), legal[0]),
        )
        return
    yield from step_problems(tokens, steps)


def step_problems(tokens: int, steps: int | None) -> Iterator[Problem]:
    """More steps than tokens."""
    if steps is not None and steps > tokens:
        yield Problem(
            code="W316",
            severity="warning",
            message=f"{steps} steps for {tokens} tokens: every step commits at least one token",
            path=("steps",),
            label=f"the same as {tokens}",
        )
