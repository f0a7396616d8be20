"""What the samplers have in common that run the reverse process: a number of steps, and the schedule they follow."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from .proposing import BOTH_SIDES, GREEDY_FILTERS, MASKS, Proposing, guided
from .schedules import Schedule
from .schedules.linear import Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealing(Proposing):
    """Base of the samplers in which every masked position is revealed by chance."""

    table: ClassVar[tuple[Row, ...]] = (MASKS, BOTH_SIDES, *GREEDY_FILTERS, *Proposing.table)

    steps: int | None = leaf(
        "Steps from t = 1 to t = 0; one that reveals nothing needs no forward pass. null: as many as there are open positions.",
        unit="steps",
        default=None,
        minimum=1,
    )
    schedule: Schedule = leaf("The noise schedule alpha(t) that is run backwards.", factory=Linear)
    temperature: float = leaf("0 takes the most probable token; above 0 tokens are drawn from softmax(logits / T).", default=1.0, minimum=0)

    def draws_random_numbers(self) -> bool:
        # Even where tokens are not drawn: which positions are revealed is.
        return True

    def passes(self, tokens: int) -> int:
        return guided(self, self.steps or tokens)

    def problems_for(self, tokens: int) -> Iterator[Problem]:
        yield from ()
