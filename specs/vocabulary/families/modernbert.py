"""ModernBERT (arXiv 2412.13663): an encoder with rotary positions and GeGLU; two of three layers see a window."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.field import leaf

from . import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class ModernBert(Encoder):
    """The ModernBERT architecture; its windows stay, since it was trained with them."""

    word: ClassVar[str] = "modernbert"
    model_types: ClassVar[tuple[str, ...]] = ("modernbert",)
    linear_layers: ClassVar[tuple[str, ...]] = ("Wqkv", "Wo", "Wi", "dense")
    tables: ClassVar[tuple[str, ...]] = ("tok_embeddings", "decoder")
    unread_norm: ClassVar[str] = "final_norm"
    mlp_share: ClassVar[tuple[int, int]] = (3, 2)

    positions: int = leaf("Longest sequence that the model is built for.", unit="tokens", default=8192, minimum=1)
    window: int = leaf("Tokens around it that a token of a layer with a window sees, half of them on each side.", default=128, minimum=2)
    global_every: int = leaf("Of so many layers, the first sees all.", default=3, minimum=1)

    def sizes(self) -> dict[str, Any]:
        return {**Encoder.sizes(self), "local_attention": self.window, "global_attn_every_n_layers": self.global_every}
