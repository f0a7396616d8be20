"""LLaDA's sampler: per block, commit an even quota of the most confident tokens each step."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Llada(Sampler):
    """Semi-autoregressive low-confidence remasking (arXiv 2502.09992, section 2.4)."""

    word: ClassVar[str] = "llada"

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
