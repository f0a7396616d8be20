"""Edit Flows: a text is turned into its goal by insertions, deletions and substitutions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.field import fields_of, leaf

from ..kappas import Kappa
from ..kappas.cubic import CubicKappa
from ..starts import Start
from ..starts.masks import Masks
from . import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFlow(Objective):
    """Edit Flows: E_t[w(t) (sum of all rates - sum over edits that remain of log rate and log p(token))] (arXiv 2506.09018)."""

    word: ClassVar[str] = "edit_flow"
    edit_heads: ClassVar[bool] = True
    held_out: ClassVar[str] = "edit_loss"
    unit: ClassVar[str] = "per token"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="model.attention",
            values=("bidirectional",),
            message="objective {subject} reads both sides of an edit, and attention is {trait}",
        ),
        Requirement(
            trait="edit_heads",
            values=(True,),
            message="objective {subject} needs a model with heads for edits, and this one has none",
            reason="a stage of kind convert adds them: `heads: {kind: convert, model: …, to: edit_flow}`, then `model: ${stages.heads}`",
            code="E450",
        ),
        Requirement(
            trait="data.packing",
            values=("none",),
            message="objective {subject} aligns each text with its start, and packing joins texts",
        ),
        Requirement(
            trait="data.padding",
            values=("mask",),
            message="objective {subject} learns the length of a text, and padding is {trait}",
        ),
        Requirement(
            trait="data.streaming",
            values=(False,),
            message="objective {subject} reads alignments that are made before, and these rows are tokenised while training",
        ),
        Requirement(
            subject="own.start",
            trait="prepared.start",
            relation=Relation.SAME,
            message="the start is {subject}, and the data were aligned with {trait}",
            code="E451",
        ),
        Requirement(
            subject="own.start.length",
            trait="data.max_length",
            relation=Relation.AT_LEAST,
            message="a start of {subject} masks is longer than sequences may be: {trait} tokens",
            code="E452",
        ),
        Inert(
            option="own.time_sampling",
            when=(Condition(trait="batch.global", values=(1,)),),
            reason="a batch of one row has one stratum",
        ),
    )

    schedule: Kappa = leaf("Schedule kappa(t).", factory=CubicKappa)
    start: Start = leaf("What stands behind the prompt at time 0.", factory=Masks)
    max_weight: float = leaf("Largest weight w(t) = kappa'(t) / (1 - kappa(t)).", default=20.0, above=0)
    normalise: str = leaf(
        "What the summed loss is divided by, over the global batch: each row's goal tokens behind the prompt then rows, these tokens, "
        "or rows.",
        default="sequence",
        choices=("token", "sequence", "batch"),
    )
    time_epsilon: float = leaf("The largest time t that is drawn is 1 less this.", default=1e-3, above=0, below=1)
    time_sampling: str = leaf(
        "How t is drawn: independently per row, or one stratum per row of the global batch (lower variance).",
        default="uniform",
        choices=("uniform", "stratified"),
    )

    def rows(self) -> Iterator[Row]:
        yield from self.table
        plain = all(getattr(self.start, info.name) == info.default for info in fields_of(type(self.start)))
        yield Requirement(
            subject="own.start",
            trait="prepared.start",
            relation=Relation.GIVEN,
            when=(Condition(trait="prepared", given=True),),
            message="the start is {subject}, and the data were prepared without one",
            reason="a data stage aligns every text with its start",
            code="E451",
            cure=("prepared.start", self.start.word) if plain else None,
        )

    def sampler(self) -> dict[str, Any]:
        return {"type": "edit_flow"}

    def data_start(self) -> Start:
        return self.start

    def scored_share(self) -> float:
        return self.schedule.mean_remaining()

    def in_strata(self) -> bool:
        # Late rows have few edits left: the first micro batch has most.
        return self.time_sampling == "stratified"
