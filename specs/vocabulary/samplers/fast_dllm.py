"""Fast-dLLM: all tokens at once that are sure enough, block by block, with or without an approximate cache."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from ..proposing import BOTH_SIDES, GREEDY_FILTERS, MASKS, keeps
from ..ranked import Parallel, block_problems

_THRESHOLD = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class FastDllm(Parallel):
    """Confidence-aware parallel decoding (arXiv 2505.22618). Without `threshold`, `factor`, `entropy_bound` or `steps`: threshold 0.9."""

    word: ClassVar[str] = "fast_dllm"
    table: ClassVar[tuple[Row, ...]] = (
        MASKS,
        BOTH_SIDES,
        Inert(
            option="own.remasking",
            when=(Condition(trait="own.block_size", values=(1,)),),
            reason="a block of one token has no order",
        ),
        Inert(
            option="own.refresh",
            when=(Condition(trait="own.cache", values=("none",)),),
            reason="without a cache everything is computed at every step",
        ),
        keeps("prefix", "dual"),
        *GREEDY_FILTERS,
        *Parallel.table,
    )

    block_size: int | None = leaf("Blocks are filled left to right; null: one block for everything.", unit="tokens", default=32, minimum=1)
    cache: str = leaf(
        "Approximate: keys and values from when a block began are used on, `prefix` those before it, `dual` those behind it too.",
        default="none",
        choices=("none", "prefix", "dual"),
    )
    refresh: int | None = leaf(
        "Steps after which everything is computed anew; 1: at every step, and nothing is approximate; null: when a block begins.",
        unit="steps",
        default=None,
        minimum=1,
    )

    def completed(self) -> "FastDllm":
        return self if self.decides() or self.steps is not None else replace(self, threshold=_THRESHOLD)

    def window(self, tokens: int) -> int:
        return min(tokens, self.block_size or tokens)

    def problems_for(self, tokens: int) -> Iterator[Problem]:
        yield from block_problems(tokens, self.block_size, None if self.decides() else self.steps)
