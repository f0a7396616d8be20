"""Masked diffusion (MDLM, LLaDA): mask independently at rate 1 - alpha(t), predict what was masked."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf

from ..schedules import Schedule
from ..schedules.linear import Linear
from ..weightings import Weighting
from ..weightings.schedule import ScheduleWeighting
from . import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Mdlm(Objective):
    """Masked diffusion: E_t[w(t) sum over masked of -log p(x_i | x_t)] (arXiv 2406.07524, 2502.09992)."""

    word: ClassVar[str] = "mdlm"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="model.attention",
            values=("bidirectional",),
            message="objective {subject} reads both sides of a mask, and attention is {trait}",
        ),
        Inert(
            option="own.time_sampling",
            when=(Condition(trait="batch.global", values=(1,)),),
            reason="a batch of one row has one stratum",
        ),
    )

    schedule: Schedule = leaf("Noise schedule alpha(t).", factory=Linear)
    weighting: Weighting = leaf("Weight w(t) of a masked token.", factory=ScheduleWeighting)
    normalise: str = leaf(
        "What the summed loss is divided by, over the global batch: maskable tokens, each row's maskable tokens then rows, or rows.",
        default="token",
        choices=("token", "sequence", "batch"),
    )
    time_epsilon: float = leaf("Smallest time t that is drawn.", default=1e-3, above=0, below=1)
    time_sampling: str = leaf(
        "How t is drawn: independently per row, or one stratum per row of the global batch (lower variance).",
        default="uniform",
        choices=("uniform", "stratified"),
    )

    def scored_share(self) -> float:
        return self.schedule.mean_mask_rate()

    def in_strata(self) -> bool:
        return self.time_sampling == "stratified"
