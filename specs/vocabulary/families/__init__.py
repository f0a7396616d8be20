"""Families of models: what is true of every checkpoint of one, and the geometry that one is made with from scratch."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Word):
    """Base of the families: the geometry that all transformers share. An architecture that is in no family is read as its config says."""

    tag: ClassVar[str] = "family"
    shorthand: ClassVar[str] = "family"
    model_types: ClassVar[tuple[str, ...]] = ()
    """`model_type` in the config.json of its checkpoints."""
    logit_shift: ClassVar[int] = 0
    """1 where published weights predict the next token."""
    mask_token: ClassVar[str | None] = None
    """Text of the mask token in published tokenizers; None: the tokenizer's own, or one is added."""
    end_of_turn: ClassVar[str | None] = None
    """Text that ends a message of a chat; None: the end of text does."""
    chat_template: ClassVar[str | None] = None
    """Jinja template of a chat; None: the tokenizer's own."""
    unread_norm: ClassVar[str] = ""
    """The norm at the end of its body, where published heads for edits read what comes before it; empty: they read the body's result."""
    padding_side: ClassVar[str] = "right"
    """The side that its published code pads on; here positions count what is no padding, and either side gives the same."""

    layers: int = leaf("Transformer layers.", minimum=1)
    width: int = leaf("Hidden size.", unit="dimensions", minimum=8)
    heads: int | None = leaf("Attention heads; null: one per 64 dimensions, at least 1.", default=None, minimum=1)
    mlp: int | None = leaf("Size of the feed-forward layer; null: 8/3 of the width, down to a multiple of 32.", default=None, minimum=1)
    tie_embeddings: bool = leaf("Whether input and output embeddings are one matrix.", default=True)
    positions: int = leaf("Longest sequence that the model is built for.", unit="tokens", default=4096, minimum=1)

    def geometry(self, vocabulary: int) -> Geometry | None:
        """Its geometry, from which memory and time are estimated; None where there is no formula. Heads and mlp are solved."""
        return None
