"""GPT-2: LayerNorm, learned positions, GELU."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.field import leaf

from . import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpt2(Family):
    """The GPT-2 architecture, read bidirectionally."""

    word: ClassVar[str] = "gpt2"
    model_types: ClassVar[tuple[str, ...]] = ("gpt2",)
    linear_layers: ClassVar[tuple[str, ...]] = ("c_attn", "c_proj", "c_fc")
    tables: ClassVar[tuple[str, ...]] = ("wte", "lm_head")
    mlp_share: ClassVar[tuple[int, int]] = (4, 1)

    positions: int = leaf("Longest sequence that the model is built for.", unit="tokens", default=1024, minimum=1)

    def sizes(self) -> dict[str, Any]:
        return {
            "n_layer": self.layers,
            "n_embd": self.width,
            "n_head": self.heads,
            "n_inner": self.mlp,
            "n_positions": self.positions,
            "tie_word_embeddings": self.tie_embeddings,
        }
