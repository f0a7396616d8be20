"""Tokenizers: how text becomes tokens where a model brings no tokenizer of its own."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer(Word):
    """Base of the tokenizers."""

    size: ClassVar[int | None] = None
    """Tokens, with the special ones; None where a file decides."""
    added: ClassVar[int] = 2
    """Special tokens around every row, at most."""
    token_a_byte: ClassVar[bool] = False
    """Whether every byte of a text is one token."""
    specials: ClassVar[tuple[str, ...]] = ()
    """Names that stand for one token in a prompt, where `token_a_byte`."""

    def vocabulary_file(self) -> str | None:
        """The file with one token a line that it is made of, if it is."""
        return None

    def special_tokens(self) -> dict[str, str]:
        """Fields that name special tokens of that file, with what they name."""
        return {}
