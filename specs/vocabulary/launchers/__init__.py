"""Launchers: where the stages of a plan run."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch(Word):
    """Base of the launchers."""
