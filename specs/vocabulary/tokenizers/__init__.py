"""Tokenizers: how text becomes tokens where a model brings no tokenizer of its own."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer(Word):
    """Base of the tokenizers."""
