"""Families of architectures that a model can be made of from scratch: stock classes of transformers."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch(Word):
    """Base of the families: the geometry that all transformers share."""

    tag: ClassVar[str] = "family"
    shorthand: ClassVar[str] = "family"

    layers: int = leaf("Transformer layers.", minimum=1)
    width: int = leaf("Hidden size.", unit="dimensions", minimum=8)
    heads: int | None = leaf("Attention heads; null: one per 64 dimensions, at least 1.", default=None, minimum=1)
    mlp: int | None = leaf("Size of the feed-forward layer; null: 8/3 of the width, down to a multiple of 32.", default=None, minimum=1)
    tie_embeddings: bool = leaf("Whether input and output embeddings are one matrix.", default=True)
    positions: int = leaf("Longest sequence that the model is built for.", unit="tokens", default=4096, minimum=1)

    def geometry(self, vocabulary: int) -> Geometry | None:
        """Its geometry, from which memory and time are estimated; None where there is no formula. Heads and mlp are solved."""
        return None
