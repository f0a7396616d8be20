"""Samplers: how masked positions are filled in, or texts are edited."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.problem import Problem
from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler(Word):
    """Base of the samplers."""

    edits: ClassVar[bool] = False
    """Whether tokens are inserted and deleted too, so that a row does not keep its length."""

    def draws_random_numbers(self) -> bool:
        """Whether two seeds can give two results."""
        return True

    def completed(self) -> "Sampler":
        """With everything decided that follows from what is not said."""
        return self

    def window(self, tokens: int) -> int:
        """Open positions that one forward pass scores, at most, where `tokens` tokens are generated."""
        return tokens

    def passes(self, tokens: int) -> int:
        """Forward passes that fill `tokens` open positions, or a bound above them."""
        return tokens

    def problems_for(self, tokens: int) -> Iterator[Problem]:
        """What does not work out when `tokens` tokens are generated; paths are the sampler's own."""
        yield from ()


def sampler_problems(sampler: Sampler, tokens: int) -> Iterator[Problem]:
    """The same, with paths as the stage that holds the sampler has them, and the stage's length beside."""
    for problem in sampler.problems_for(tokens):
        fix = None if problem.fix is None else (("sampler", *problem.fix[0]), problem.fix[1])
        related = ((("max_new_tokens",), f"{tokens} tokens"),)
        yield replace(problem, path=("sampler", *problem.path), fix=fix, related=related)
