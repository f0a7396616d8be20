"""Qwen3: Llama's layers, with a norm on the heads of queries and keys."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3(Rotary):
    """The Qwen3 architecture, read bidirectionally."""

    word: ClassVar[str] = "qwen3"
    model_types: ClassVar[tuple[str, ...]] = ("qwen3",)
    end_of_turn: ClassVar[str | None] = "<|im_end|>"

    rope_theta: float = leaf("Base of the rotary frequencies.", default=1000000.0, above=0)
