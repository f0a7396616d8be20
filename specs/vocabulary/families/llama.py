"""Llama: RMSNorm, rotary positions, SwiGLU."""

from dataclasses import dataclass
from typing import ClassVar

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama(Rotary):
    """The Llama architecture, read bidirectionally."""

    word: ClassVar[str] = "llama"
    model_types: ClassVar[tuple[str, ...]] = ("llama",)
    end_of_turn: ClassVar[str | None] = "<|eot_id|>"
