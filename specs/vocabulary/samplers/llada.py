"""LLaDA's sampler: per block, commit an even quota of the most confident tokens each step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem, nearest_divisors, nearest_multiples

from . import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Llada(Sampler):
    """Semi-autoregressive low-confidence remasking (arXiv 2502.09992, section 2.4)."""

    word: ClassVar[str] = "llada"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="trained.objective",
            values=("mdlm", "dream"),
            message="sampler {subject} fills in masks, and the model was trained by {trait}",
        ),
        Requirement(
            trait="model.attention",
            values=("bidirectional",),
            message="sampler {subject} reads both sides of a mask, and attention is {trait}",
        ),
        Inert(
            option="own.remasking",
            when=(Condition(trait="own.block_size", values=(1,)),),
            reason="a block of one token has no order",
        ),
    )

    steps: int | None = leaf(
        "Forward passes in total, shared evenly by the blocks; null: one token a step.", unit="steps", default=None, minimum=1
    )
    block_size: int | None = leaf(
        "Blocks are filled left to right; null: one block for everything.", unit="tokens", default=None, minimum=1
    )
    remasking: str = leaf(
        "Which positions keep their mask: those with low confidence, or random ones.",
        default="low_confidence",
        choices=("low_confidence", "random"),
    )
    temperature: float = leaf("0 takes the most probable token; above 0 tokens are drawn from softmax(logits / T).", default=0.0, minimum=0)

    def draws_random_numbers(self) -> bool:
        return self.temperature > 0 or self.remasking == "random"

    def window(self, tokens: int) -> int:
        return min(tokens, self.block_size or tokens)

    def passes(self, tokens: int) -> int:
        return min(tokens, self.steps or tokens)

    def problems_for(self, tokens: int) -> Iterator[Problem]:
        block = self.block_size or tokens
        if tokens % block:
            legal = nearest_divisors(tokens, block)
            yield Problem(
                code="E316",
                message=f"blocks of {block} tokens do not fill {tokens} tokens",
                path=("block_size",),
                notes=(f"nearest legal: block_size {' or '.join(map(str, legal))}",),
                fix=(("block_size",), legal[0]),
            )
            return
        blocks = tokens // block
        if self.steps is None:
            return
        if self.steps % blocks:
            legal = nearest_multiples(blocks, self.steps)
            yield Problem(
                code="E317",
                message=f"{self.steps} steps cannot be shared evenly by {blocks} blocks",
                path=("steps",),
                notes=(f"nearest legal: steps {' or '.join(map(str, legal))}",),
                fix=(("steps",), legal[0]),
            )
        elif self.steps > tokens:
            yield Problem(
                code="W316",
                severity="warning",
                message=f"{self.steps} steps for {tokens} tokens: every step commits at least one token",
                path=("steps",),
                label=f"the same as {tokens}",
            )
