"""Heads for Edit Flows."""

from dataclasses import dataclass
from typing import ClassVar

from . import Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class EditHeads(Conversion):
    """Add heads for insertions, deletions and substitutions: those of tokens begin as the output embeddings, the rates at random."""

    word: ClassVar[str] = "edit_flow"
    edit_heads: ClassVar[bool] = True
    draws: ClassVar[bool] = True
