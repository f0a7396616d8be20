"""The bound of block diffusion: block by block, each given those before it."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.field import leaf

from . import Sampled


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockElbo(Sampled):
    """Sum over blocks of the ELBO of each given those before it (arXiv 2503.09573, eq. 3); exact for blocks of one token."""

    word: ClassVar[str] = "bd3lm"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="model.attention",
            values=("block_causal",),
            message="likelihood {subject} reads blocks from left to right, and attention is {trait}",
        ),
        Requirement(
            subject="own.block_size",
            trait="trained.objective.block_size",
            relation=Relation.SAME,
            message="blocks of {subject} tokens are scored, and the model was trained with {trait}",
        ),
        *(
            Inert(option=f"own.{name}", when=(Condition(trait="own.block_size", values=(1,)),), reason="blocks of one token have one mask")
            for name in ("samples", "error")
        ),
        *Sampled.table,
    )

    block_size: int = leaf("Tokens of a block, as in training; 1: exact, in one pass.", unit="tokens", minimum=1, example="32")

    def passes(self, tokens: float) -> float:
        # Noisy and clean tokens lie in one row.
        return 2.0 * (1 if self.block_size == 1 else self.samples)
