"""Likelihoods: how the log-probability of a text is estimated, or bounded, by a model that fills in masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem
from dllm_run.specs.word import Word, members

from ..objectives import Objective

BOTH_SIDES = Requirement(
    trait="model.attention",
    values=("bidirectional",),
    message="the bound of `likelihood` reads both sides of a mask, and attention is {trait}",
)
"""Row of the estimators that mask anywhere in a text."""


def guidance() -> Any:
    """The field of the estimators that read a row a second time without its prompt."""
    return leaf(
        "Classifier-free guidance w: logits are u + (1 + w)(c - u), u those with the whole prompt masked; 0: none.",
        default=0.0,
        minimum=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood(Word):
    """Base of the estimators. The name of an estimator stands beside every number that it gives."""

    tag: ClassVar[str] = "estimator"
    shorthand: ClassVar[str] = "estimator"

    def rows(self) -> Iterator[Row]:
        yield from self.table
        yield Requirement(
            trait="trained.objective",
            values=tuple(word for word, cls in members(Objective).items() if issubclass(cls, Objective) and cls.held_out == "bound"),
            message="likelihoods are bounded by filling in masks, and the model was trained by {trait}",
        )

    def passes(self, tokens: float) -> float:
        """Rows that the body reads to score `tokens` tokens of one text, or a bound below them where a rule stops the draws."""
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(Likelihood):
    """Base of the estimators that average over random masks."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(option="own.rounds", when=(Condition(trait="own.error", values=(None,)),), reason="without `error` there is one round"),
    )

    samples: int = leaf("Masks drawn for each text; with `error`, in each round.", default=32, minimum=1)
    error: float | None = leaf(
        "Rounds of masks are drawn for a text until the standard error of its number is at most this; null: one round.",
        unit="nats",
        default=None,
        above=0,
    )
    rounds: int = leaf("Most rounds of masks for one text.", default=16, minimum=2)

    def passes(self, tokens: float) -> float:
        return float(self.samples)

    def problems(self) -> Iterator[Problem]:
        """A rule that could never stop anything."""
        if self.error is not None and self.samples < 2:
            yield Problem(
                code="E630",
                message="one mask a round has no standard error that could stop the draws",
                path=("samples",),
                fix=(("samples",), 8),
                related=((("error",), "stop at this error"),),
            )
