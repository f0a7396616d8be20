"""The sampler of Edit Flows: a text is edited, step by step, at the rates that the model was trained to give."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.field import leaf

from ..kappas import Kappa
from ..proposing import GREEDY_FILTERS, Choosing
from ..starts import Start

_EDITS = Condition(trait="trained.objective", values=("edit_flow",))
_FRESH = (
    (Condition(trait="weights.scratch", given=True),),
    (Condition(trait="weights.scratch", given=False), Condition(trait="edit_heads", values=(True,))),
)
"""Weights of which it is sure that only a stage of this spec can have trained them to edit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFlowSampler(Choosing):
    """Tau-leaping through insertions, deletions and substitutions, by the schedule of the training (arXiv 2506.09018, section 3)."""

    word: ClassVar[str] = "edit_flow"
    edits: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="trained.objective",
            values=("edit_flow",),
            message="sampler {subject} edits texts, and the model was trained by {trait}",
        ),
        Requirement(
            trait="model.attention",
            values=("bidirectional",),
            message="sampler {subject} reads both sides of an edit, and attention is {trait}",
        ),
        Requirement(
            trait="edit_heads",
            values=(True,),
            when=(Condition(trait="trained.objective", given=False),),
            message="sampler {subject} needs a model with heads for edits, and this one has none",
            reason="a stage of kind convert adds them, and a training with the objective edit_flow makes them mean something",
            code="E603",
        ),
        *(
            Requirement(
                trait="trained.objective",
                relation=Relation.GIVEN,
                when=fresh,
                message="sampler {subject} edits at rates that a model has learned, and nothing has trained this one",
                label="train it with the objective edit_flow first",
                code="E603",
            )
            for fresh in _FRESH
        ),
        *(
            Requirement(
                subject=f"own.{name}",
                trait=f"trained.objective.{name}",
                relation=Relation.SAME,
                when=(_EDITS, Condition(trait=f"own.{name}", given=True)),
                message=f"the {name} is {{subject}}, and the model was trained with {{trait}}",
                label="leave it out: that of the training is taken",
                cure=(f"own.{name}", None),
                code="E604",
            )
            for name in ("schedule", "start")
        ),
        Requirement(
            trait="own.edit_prompt",
            values=(False,),
            when=(Condition(trait="tasks", given=True),),
            message="sampler {subject} edits prompts too, and an answer is read from where its question ends",
            cure=("own.edit_prompt", False),
        ),
        Inert(
            option="own.edit_prompt",
            when=(Condition(trait="prompts.data", given=True),),
            reason="of held-out rows only what is hidden is written",
        ),
        *GREEDY_FILTERS,
    )

    steps: int = leaf(
        "Steps from t = 0 to t = 1; after one that edits nothing a row is not read again.", unit="steps", default=100, minimum=1
    )
    temperature: float = leaf("0 takes the most probable token; above 0 tokens are drawn from softmax(logits / T).", default=1.0, minimum=0)
    edit_prompt: bool = leaf(
        "Whether a prompt is a draft: edited like what follows it, but for the token that begins a text.", default=False
    )
    schedule: Kappa | None = leaf(
        "Schedule kappa(t), for weights that do not say with which they were trained; null: that of the training.",
        default=None,
        example="linear",
    )
    start: Start | None = leaf(
        "What stands behind a prompt at t = 0, for weights that do not say it; null: that of the training.", default=None, example="masks"
    )

    def rows(self) -> Iterator[Row]:
        yield from self.table
        holder = "trained.objective" if self.start is None else "own"
        yield Requirement(
            subject=f"{holder}.start.length",
            trait="max_new_tokens",
            relation=Relation.AT_LEAST,
            when=() if self.start is not None else (_EDITS,),
            message="a start of {subject} masks is longer than an answer may be: {trait} tokens",
            code="E605",
        )

    def passes(self, tokens: int) -> int:
        return self.steps
