"""Samplers: how masked positions are filled in."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler(Word):
    """Base of the samplers."""

    def draws_random_numbers(self) -> bool:
        """Whether two seeds can give two results."""
        return True
