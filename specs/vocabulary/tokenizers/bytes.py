"""The byte tokenizer."""

from dataclasses import dataclass
from typing import ClassVar

from . import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes(Tokenizer):
    """UTF-8 bytes: 256 tokens, then end of text and mask."""

    word: ClassVar[str] = "bytes"
    size: ClassVar[int | None] = 258
    added: ClassVar[int] = 1
    token_a_byte: ClassVar[bool] = True
    specials: ClassVar[tuple[str, ...]] = ("<eos>", "<mask>")
