"""The character tokenizer."""

from dataclasses import dataclass
from typing import ClassVar

from . import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Characters(Tokenizer):
    """Printable ASCII and the newline, one token a character, then end of text and mask. Anything else is an error."""

    word: ClassVar[str] = "characters"
    tokens: ClassVar[int | None] = 98
