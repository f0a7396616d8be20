"""LLaDA's sampler: per block, commit an even quota of the most confident tokens each step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from ..proposing import BOTH_SIDES, GREEDY_FILTERS, MASKS
from ..ranked import Quota, block_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Llada(Quota):
    """Semi-autoregressive low-confidence remasking (arXiv 2502.09992, section 2.4)."""

    word: ClassVar[str] = "llada"
    semantics: ClassVar[int] = 2
    table: ClassVar[tuple[Row, ...]] = (
        MASKS,
        BOTH_SIDES,
        Inert(
            option="own.remasking",
            when=(Condition(trait="own.block_size", values=(1,)),),
            reason="a block of one token has no order",
        ),
        *GREEDY_FILTERS,
        *Quota.table,
    )

    block_size: int | None = leaf(
        "Blocks are filled left to right; null: one block for everything.", unit="tokens", default=None, minimum=1
    )

    def window(self, tokens: int) -> int:
        return min(tokens, self.block_size or tokens)

    def problems_for(self, tokens: int) -> Iterator[Problem]:
        yield from block_problems(tokens, self.block_size, self.steps)
