"""A tokenizer made of a vocabulary file and a regular expression."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern(Tokenizer):
    """Text is split by a regular expression, each piece is looked up in a vocabulary of one token a line (chemistry, proteins)."""

    word: ClassVar[str] = "pattern"
    shorthand: ClassVar[str] = "vocabulary"

    vocabulary: str = leaf("File with one token a line: a path, or package:NAME/file.", example="./vocab.txt", locates="data")
    pattern: str = leaf("Regular expression whose matches are the tokens, left to right.", default=".")
    mask: str = leaf("The mask token of the vocabulary.", default="[MASK]")
    begin: str = leaf("Token before every text.", default="[CLS]")
    end: str = leaf("Token after every text.", default="[SEP]")
    unknown: str = leaf("Token for pieces outside the vocabulary.", default="[UNK]")
    pad: str = leaf("Padding token.", default="[PAD]")

    def vocabulary_file(self) -> str | None:
        return self.vocabulary

    def special_tokens(self) -> dict[str, str]:
        return {"mask": self.mask, "begin": self.begin, "end": self.end, "unknown": self.unknown, "pad": self.pad}
