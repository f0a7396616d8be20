"""What the samplers have in common that commit what ranks highest: the order, and how many tokens a step commits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem, nearest_divisors, nearest_multiples

from .proposing import Proposing, TokenName, guided
from .schedules import Schedule
from .schedules.linear import Linear

RULES = ("factor", "threshold", "entropy_bound", "steps")
"""What says how many tokens a step commits; each makes those behind it meaningless."""
POLICY: tuple[Row, ...] = (
    *(
        Inert(
            option=f"own.{later}",
            when=(Condition(trait=f"own.{rule}", given=True),),
            reason=f"`{rule}` says how many tokens a step commits",
        )
        for index, rule in enumerate(RULES)
        for later in RULES[index + 1 :]
    ),
    *(
        Requirement(
            subject=f"own.{rule}",
            trait="own.remasking",
            values=("low_confidence",),
            when=(Condition(trait=f"own.{rule}", given=True),),
            message=f"`{rule}` bounds the probability of a token, and tokens are ranked by {{trait}}",
            cure=("own.remasking", "low_confidence"),
            code="E600",
        )
        for rule in ("factor", "threshold")
    ),
    Requirement(
        subject="own.entropy_bound",
        trait="own.remasking",
        values=("low_confidence", "margin", "entropy"),
        when=(Condition(trait="own.entropy_bound", given=True),),
        message="`entropy_bound` adds up what the surest tokens leave open, and tokens are ranked by {trait}",
        cure=("own.remasking", "entropy"),
        code="E600",
    ),
)
"""Rows of the samplers that can commit as many tokens as are sure enough."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel(Quota):
    """Base of the samplers that can commit all tokens at once that are sure enough."""

    table: ClassVar[tuple[Row, ...]] = (*POLICY, *Quota.table)

    threshold: float | None = leaf(
        "A step commits all tokens of a higher probability, and one at least; null: something else says how many.",
        default=None,
        above=0,
        below=1,
    )
    factor: float | None = leaf(
        "A step commits the n most probable tokens for the largest n with (n + 1)(1 - p_n) < factor; null: something else says how many.",
        default=None,
        above=0,
    )
    entropy_bound: float | None = leaf(
        "A step commits as many tokens as have entropies that sum, less the largest, to this at most; null: something else says how many.",
        unit="nats",
        default=None,
        above=0,
    )

    def decides(self) -> bool:
        """Whether it is told how many tokens a step commits other than by steps."""
        return any(bound is not None for bound in (self.threshold, self.factor, self.entropy_bound))

    def passes(self, tokens: int) -> int:
        return guided(self, tokens) if self.decides() else guided(self, min(tokens, self.steps or tokens))


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
