"""What the objectives have in common that mask tokens and predict them: noise, weights, normalisation."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf

from .objectives import Objective, Passed
from .schedules import Schedule
from .schedules.linear import Linear
from .weightings import Weighting
from .weightings.schedule import ScheduleWeighting

BOTH_SIDES = Requirement(
    trait="model.attention",
    values=("bidirectional",),
    message="objective {subject} reads both sides of a mask, and attention is {trait}",
)
"""Row of the objectives whose denoiser sees a whole row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked(Objective):
    """Base of the objectives that mask at rate 1 - alpha(t) and weigh the cross-entropy of what was masked."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(
            option="own.time_sampling",
            when=(Condition(trait="batch.global", values=(1,)),),
            reason="a batch of one row has one stratum",
        ),
        Inert(
            option="own.max_weight",
            when=(Condition(trait="own.weighting", values=("uniform", "cart")), Condition(trait="own.complementary", values=(False,))),
            reason="no weight is above 1",
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
    max_weight: float | None = leaf(
        "Weights above it count as much as this (lower variance, and the loss is no bound); null: no cap.", default=None, minimum=1
    )
    complementary: bool = leaf(
        "Whether each row is read twice, under its mask and under the complement, so that every token is predicted once: "
        "the same mean loss with lower variance, at twice the cost.",
        default=False,
    )

    def passed(self) -> Passed:
        return Passed(rows=2 if self.complementary else 1)

    def scored_share(self) -> float:
        # A mask and its complement cover every token once, at whatever times.
        return 1.0 if self.complementary else self.schedule.mean_mask_rate(0.0, 1.0)

    def in_strata(self) -> bool:
        return self.time_sampling == "stratified" and not self.complementary
