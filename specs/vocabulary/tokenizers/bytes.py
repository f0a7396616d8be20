"""The byte tokenizer."""

from dataclasses import dataclass
from typing import ClassVar

from . import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes(Tokenizer):
    """UTF-8 bytes: 256 tokens, then end of text and mask."""

    word: ClassVar[str] = "bytes"
    tokens: ClassVar[int | None] = 258
