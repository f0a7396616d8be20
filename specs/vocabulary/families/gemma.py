"""Gemma: Llama's layers with GeGLU, norms that scale by one plus their weight, and embeddings scaled by the root of the width."""

from dataclasses import dataclass
from typing import ClassVar

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma(Rotary):
    """The Gemma architecture, read bidirectionally."""

    word: ClassVar[str] = "gemma"
    model_types: ClassVar[tuple[str, ...]] = ("gemma",)
    end_of_turn: ClassVar[str | None] = "<end_of_turn>"
