"""Qwen2 and Qwen2.5: Llama's layers, with a bias on queries, keys and values."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen2(Rotary):
    """The Qwen2 architecture, read bidirectionally."""

    word: ClassVar[str] = "qwen2"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2",)
    end_of_turn: ClassVar[str | None] = "<|im_end|>"

    rope_theta: float = leaf("Base of the rotary frequencies.", default=1000000.0, above=0)
