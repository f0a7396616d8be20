"""Block diffusion (BD3LM): blocks from left to right, masked diffusion within a block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from ..masked import Masked
from . import Passed

_EXACT = tuple(
    Inert(
        option=f"own.{name}",
        when=(Condition(trait="own.block_size", values=(1,)),),
        reason="with blocks of one token the loss is the autoregressive likelihood, without any noise",
    )
    for name in (
        "schedule", "weighting", "time_epsilon", "time_sampling", "time_per", "time_range", "max_weight", "complementary"
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bd3lm(Masked):
    """Block diffusion: sum over blocks of E_t[w(t) sum over masked of -log p(x_i | block x_t, earlier blocks clean)] (arXiv 2503.09573)."""

    word: ClassVar[str] = "bd3lm"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="model.attention",
            values=("block_causal",),
            message="objective {subject} reads blocks from left to right, and attention is {trait}",
        ),
        Requirement(
            subject="own.block_size",
            trait="data.max_length",
            relation=Relation.AT_LEAST,
            message="blocks of {subject} tokens, and no sequence has more than {trait}",
            reason="a row is then one block, and the objective that of mdlm",
            code="W420",
        ),
        *_EXACT,
        Inert(
            option="own.time_epsilon",
            when=(Condition(trait="own.time_range", given=True),),
            reason="`time_range` says where times are drawn from",
        ),
        *Masked.table,
    )

    block_size: int = leaf(
        "Tokens of a block; 1: autoregressive. Blocks start at the first token of a row.", unit="tokens", minimum=1, example="32"
    )
    time_per: str = leaf(
        "What has a time t of its own: each block, or all blocks of a row together.", default="block", choices=("block", "sequence")
    )
    time_range: tuple[float, ...] | None = leaf(
        "Two times between which t is drawn, such as [0.45, 0.95] (clipped schedule, arXiv 2503.09573, section 5): lower variance, and "
        "the loss is no bound; null: from `time_epsilon` to 1.",
        default=None,
    )

    def passed(self) -> Passed:
        return Passed(length=3 if self.complementary else 2)

    def scored_share(self) -> float:
        if self.complementary or self.block_size == 1:
            return 1.0
        if self.time_range is None:
            return self.schedule.mean_mask_rate(0.0, 1.0)
        # Estimates are also asked of what is about to be refused.
        return self.schedule.mean_mask_rate(*self.time_range) if _is_range(self.time_range) else 1.0

    def in_strata(self) -> bool:
        # With a time for each block, every row has blocks in all strata.
        return self.time_per == "sequence" and self.block_size > 1 and Masked.in_strata(self)

    def sampler(self) -> dict[str, Any]:
        return {"type": "bd3lm", "block_size": self.block_size}

    def problems(self) -> Iterator[Problem]:
        """Times that cannot be drawn, and weights that look ahead."""
        if self.time_range is not None:
            yield from self._range_problems(self.time_range)
        if self.weighting.reads_both_sides:
            yield Problem(
                code="E441",
                message=f"weighting {self.weighting.word} counts tokens on both sides, and a block sees none to its right",
                path=("weighting",),
                fix=(("weighting",), "schedule"),
            )

    def _range_problems(self, times: tuple[float, ...]) -> Iterator[Problem]:
        if not _is_range(times):
            label = "two numbers above 0 and up to 1, the smaller first: `[0.45, 0.95]`"
            yield Problem(code="E440", message="no range of times", path=("time_range",), label=label, fix=(("time_range",), None))
        elif self.complementary:
            yield Problem(
                code="E440",
                message="complementary masks leave the range of times: the complement of a low rate is a high one",
                path=("time_range",),
                fix=(("time_range",), None),
                related=((("complementary",), "complementary: true"),),
            )


def _is_range(times: tuple[float, ...]) -> bool:
    return len(times) == 2 and 0 < times[0] < times[1] <= 1
