"""The character tokenizer."""

from dataclasses import dataclass
from typing import ClassVar

from . import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Characters(Tokenizer):
    """Printable ASCII and the newline, one token a character, then end of text and mask. Anything else is an error."""

    word: ClassVar[str] = "characters"
    size: ClassVar[int | None] = 98
    added: ClassVar[int] = 1
    token_a_byte: ClassVar[bool] = True
    specials: ClassVar[tuple[str, ...]] = ("<eos>", "<mask>")
