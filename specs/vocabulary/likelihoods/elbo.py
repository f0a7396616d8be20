"""The evidence lower bound with a fixed number of masks in every draw."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Row
from dllm_run.specs.field import leaf

from . import BOTH_SIDES, Sampled, guidance


@dataclass(frozen=True, slots=True, kw_only=True)
class Elbo(Sampled):
    """E_k[n/k times the sum over k masked tokens of -log p], k even over 1 to the n tokens scored (LLaDA, arXiv 2502.09992, eq. 6)."""

    word: ClassVar[str] = "elbo"
    table: ClassVar[tuple[Row, ...]] = (
        BOTH_SIDES,
        *Sampled.table,
        Inert(option="own.time_sampling", when=(Condition(trait="own.samples", values=(1,)),), reason="one mask has one stratum"),
    )

    time_sampling: str = leaf(
        "How the share k/n is drawn: one stratum for each mask of a round (lower variance), or independently.",
        default="stratified",
        choices=("stratified", "uniform"),
    )
    cfg_scale: float = guidance()

    def passes(self, tokens: float) -> float:
        return self.samples * (2.0 if self.cfg_scale else 1.0)
