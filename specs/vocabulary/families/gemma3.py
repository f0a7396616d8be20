"""Gemma 3, of text alone: Gemma 2's norms, a norm on the heads of queries and keys, and two rotary bases."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.field import leaf

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma3(Rotary):
    """The Gemma 3 architecture, read bidirectionally; every layer sees all."""

    word: ClassVar[str] = "gemma3"
    model_types: ClassVar[tuple[str, ...]] = ("gemma3_text",)
    end_of_turn: ClassVar[str | None] = "<end_of_turn>"

    rope_theta: float = leaf("Base of the rotary frequencies of layers that Gemma made to see far.", default=1000000.0, above=0)

    def sizes(self) -> dict[str, Any]:
        assert self.heads is not None
        return {**Rotary.sizes(self), "query_pre_attn_scalar": self.width // self.heads}
