"""Kinds of stages: the nodes of an experiment."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from dllm_run.specs.compatibility import Inert, Relation, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.word import Word

from ..compute import Compute
from ..launchers import Launch
from ..launchers.local import Local

UNSEEDED = Inert(option="seed", reason="this stage draws no random numbers")
"""Row of the kinds, and of the stages, to which a seed means nothing."""
ALONE = tuple(Inert(option=f"compute.{option}", reason="this stage runs in one process") for option in ("nodes", "processes", "strategy"))
"""Rows of the kinds that no processes share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Word):
    """Base of the kinds: what every stage has."""

    tag: ClassVar[str] = "kind"
    shorthand: ClassVar[str] = "kind"
    outputs: ClassVar[tuple[str, ...]] = ()
    """Names of the outputs; the first is the principal one, which `${stages.X}` means."""
    inherits_model: ClassVar[bool] = False
    """Whether the model at the top of the spec is this stage's default."""
    logs: ClassVar[bool] = False
    """Whether this stage has metrics, so that the trackers at the top of the spec are its default."""
    whole: ClassVar[bool] = False
    """Whether the model that comes out is whole, whatever came in: adapters folded into its weights, none of them quantised."""
    parallel: ClassVar[bool] = False
    """Whether several processes may share the stage."""
    ends_at_a_step: ClassVar[bool] = False
    """Whether a signal waits for the end of a step, and its checkpoint; else the stage ends at once."""
    data_format: ClassVar[str | None] = None
    """How this stage's own data are read; None: as the model's training data were."""
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            subject="data_tokenizer",
            trait="tokenizer",
            relation=Relation.SAME,
            message="the data are made of tokens of {subject}, and the model reads those of {trait}",
            code="E421",
        ),
    )

    seed: int | None = leaf("Seed of this stage; null: the root's, where random numbers are drawn.", default=None, minimum=0)
    compute: Compute = leaf("What differs from the compute at the top.", factory=Compute)
    launch: Launch = leaf("What differs from the launch at the top.", factory=Local, effect=Effect.NONE)

    def draws_random_numbers(self) -> bool:
        """Whether the seed enters the identity of this stage."""
        return False

    def adds_edit_heads(self) -> bool:
        """Whether the model that comes out has heads for edits, whatever came in."""
        return False

    def completed(self) -> Self:
        """With everything solved that follows from other fields."""
        return replace(self, compute=self.compute.completed(parallel=self.parallel))
