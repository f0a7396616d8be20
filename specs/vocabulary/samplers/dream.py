"""Dream's sampler: the whole answer at once, the surest tokens of a filtered distribution first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from ..proposing import BOTH_SIDES, MASKS
from ..ranked import Quota, step_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class DreamSampler(Quota):
    """Dream's decoding: tokens are chosen, and ranked, by the tempered distribution that `top_p` and `top_k` leave (arXiv 2508.15487)."""

    word: ClassVar[str] = "dream"
    table: ClassVar[tuple[Row, ...]] = (
        MASKS,
        BOTH_SIDES,
        *(
            Inert(
                option=f"own.{name}",
                when=(Condition(trait="own.temperature", values=(0,)), Condition(trait="own.remasking", values=("random",))),
                reason="at temperature 0 the most probable token is taken, and a random order does not read it",
            )
            for name in ("top_k", "top_p")
        ),
        *Quota.table,
    )

    temperature: float = leaf("0 takes the most probable token; above 0 tokens are drawn from softmax(logits / T).", default=0.2, minimum=0)
    top_p: float | None = leaf(
        "Only the most probable tokens can be chosen that together have this probability; null: all.", default=0.95, above=0, maximum=1
    )
    remasking: str = leaf(
        "What stays masked: tokens of high entropy, of a small margin over the next token, of low confidence, or random ones.",
        default="entropy",
        choices=("low_confidence", "margin", "entropy", "random"),
    )

    def problems_for(self, tokens: int) -> Iterator[Problem]:
        yield from step_problems(tokens, self.steps)
