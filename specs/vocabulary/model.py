"""The model of a stage: weights from somewhere, or a fresh architecture."""

from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.reference import Reference

from .families import Scratch
from .tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Exactly one of `from` and `scratch`."""

    shorthand: ClassVar[str] = "from"

    from_: str | Reference | None = leaf(
        "Weights: a folder (starting with ./ ../ or /), package:NAME/folder, a hub id, or ${stages.X}.",
        default=None,
        alias="from",
        example="./my-model",
    )
    scratch: Scratch | None = leaf("A fresh architecture with random weights.", default=None)
    tokenizer: Tokenizer | Reference | None = leaf(
        "Tokenizer; null: the one beside the weights.", default=None, example="bytes"
    )
    attention: str = leaf("Which positions a token sees.", default="bidirectional", choices=("bidirectional",))
    logit_shift: int = leaf(
        "1 where the logits at a position predict the next one, as in weights that were trained autoregressively.",
        default=0,
        choices=(0, 1),
    )
    dropout: float = leaf("Rate of every dropout module in training; replaces the checkpoint's own.", default=0.0, minimum=0, below=1)

    def completed(self) -> "Model":
        """With the geometry of a fresh model solved."""
        scratch = self.scratch
        if scratch is None:
            return self
        heads = scratch.heads or max(1, scratch.width // 64)
        mlp = scratch.mlp or max(32, scratch.width * 8 // 3 // 32 * 32)
        return replace(self, scratch=replace(scratch, heads=heads, mlp=mlp))
