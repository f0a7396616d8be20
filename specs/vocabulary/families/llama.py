"""Llama: RMSNorm, rotary positions, SwiGLU."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.geometry import Geometry

from . import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama(Family):
    """The Llama architecture, read bidirectionally."""

    word: ClassVar[str] = "llama"
    model_types: ClassVar[tuple[str, ...]] = ("llama",)

    rope_theta: float = leaf("Base of the rotary frequencies.", default=10000.0, above=0)

    def geometry(self, vocabulary: int) -> Geometry | None:
        assert self.heads is not None and self.mlp is not None
        return Geometry(
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            kv_heads=self.heads,
            head_dim=self.width // self.heads,
            mlp=self.mlp,
            vocabulary=vocabulary,
            positions=self.positions,
            tied=self.tie_embeddings,
            norm_parameters=(2 * self.layers + 1) * self.width,
        )
