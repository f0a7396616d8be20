"""The evidence lower bound with every token masked by a coin of its own, as Dream is evaluated."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Row
from dllm_run.specs.field import leaf

from . import BOTH_SIDES, Sampled, guidance


@dataclass(frozen=True, slots=True, kw_only=True)
class Bernoulli(Sampled):
    """E_t[1/t times the sum over masked tokens of -log p], each token masked with chance t, times of a round spread evenly (Dream)."""

    word: ClassVar[str] = "bernoulli"
    table: ClassVar[tuple[Row, ...]] = (BOTH_SIDES, *Sampled.table)

    time_epsilon: float = leaf("Times t are drawn between this and 1.", default=1e-3, above=0, below=1)
    append_end: bool = leaf("Whether the token that ends a text stands behind what is scored, seen and never masked.", default=True)
    cfg_scale: float = guidance()

    def passes(self, tokens: float) -> float:
        return self.samples * (2.0 if self.cfg_scale else 1.0)
