"""Held-out text in bits per byte."""

from dataclasses import dataclass
from typing import ClassVar

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutText(BuiltInTask):
    """The bound on the held-out rows in bits per byte, beside byte unigram, byte trigram and gzip on the same text."""

    word: ClassVar[str] = "held_out_text"
    needs: ClassVar[tuple[str, ...]] = ("data", "likelihood")
    ignores: ClassVar[tuple[str, ...]] = ("sampler", "max_new_tokens", "chat_template", "allow_code_execution")
    takes_examples: ClassVar[bool] = False
