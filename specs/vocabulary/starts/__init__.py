"""Starts of Edit Flows: the text that is edited until it is the goal."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Word):
    """Base of the starts: what stands behind the prompt at time 0."""
