"""Llama: RMSNorm, rotary positions, SwiGLU."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama(Scratch):
    """The Llama architecture, read bidirectionally."""

    word: ClassVar[str] = "llama"

    rope_theta: float = leaf("Base of the rotary frequencies.", default=10000.0, above=0)
