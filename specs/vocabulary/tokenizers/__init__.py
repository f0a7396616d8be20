"""Tokenizers: how text becomes tokens where a model brings no tokenizer of its own."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer(Word):
    """Base of the tokenizers."""

    tokens: ClassVar[int | None] = None
    """How many it has, with the special ones; None: not known before it is made."""

    def vocabulary_file(self) -> str | None:
        """The file with one token a line that it is made of, if it is."""
        return None

    def special_tokens(self) -> dict[str, str]:
        """Fields that name special tokens of that file, with what they name."""
        return {}
