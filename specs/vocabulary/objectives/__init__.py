"""Objectives: what a training stage minimises."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective(Word):
    """Base of the objectives."""
