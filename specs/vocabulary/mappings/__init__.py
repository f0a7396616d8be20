"""Mappings: what rows go through before their columns are read."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping(Word):
    """Base of the mappings."""
