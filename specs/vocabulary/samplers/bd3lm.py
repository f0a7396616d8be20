"""BD3LM's sampler: blocks from left to right, each filled in by confidence, what is done kept in an exact cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from ..proposing import GREEDY_FILTERS, keeps
from ..ranked import Parallel, step_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Bd3lmSampler(Parallel):
    """Block diffusion decoding: the denoiser sees a block and all before it (arXiv 2503.09573, section 3.3)."""

    word: ClassVar[str] = "bd3lm"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="trained.objective",
            values=("bd3lm",),
            message="sampler {subject} fills in blocks from left to right, and the model was trained by {trait}",
        ),
        Requirement(
            trait="model.attention",
            values=("block_causal",),
            message="sampler {subject} reads blocks from left to right, and attention is {trait}",
        ),
        Requirement(
            subject="own.block_size",
            trait="trained.objective.block_size",
            relation=Relation.SAME,
            message="blocks of {subject} tokens, and the model was trained with blocks of {trait}",
            code="W600",
        ),
        Inert(
            option="own.remasking",
            when=(Condition(trait="own.block_size", values=(1,)),),
            reason="a block of one token has no order",
        ),
        keeps("block"),
        *GREEDY_FILTERS,
        *Parallel.table,
    )

    block_size: int = leaf(
        "Tokens of a block; blocks start at the first token of a row, as in training.", unit="tokens", minimum=1, example="32"
    )
    cache: str = leaf(
        "Whether keys and values of finished blocks are kept; either way gives the same tokens.",
        default="block",
        choices=("block", "none"),
        effect=Effect.NUMERICS,
    )

    def window(self, tokens: int) -> int:
        return min(tokens, self.block_size)

    def problems_for(self, tokens: int) -> Iterator[Problem]:
        yield from step_problems(tokens, self.steps)
