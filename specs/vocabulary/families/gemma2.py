"""Gemma 2: Gemma's layers with norms behind attention and feed-forward, and soft caps on attention scores and logits."""

from dataclasses import dataclass
from typing import Any, ClassVar

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma2(Rotary):
    """The Gemma 2 architecture, read bidirectionally; every layer sees all."""

    word: ClassVar[str] = "gemma2"
    model_types: ClassVar[tuple[str, ...]] = ("gemma2",)
    end_of_turn: ClassVar[str | None] = "<end_of_turn>"

    def sizes(self) -> dict[str, Any]:
        assert self.heads is not None
        more = {"query_pre_attn_scalar": self.width // self.heads, "layer_types": ["full_attention"] * self.layers}
        return {**Rotary.sizes(self), **more}
