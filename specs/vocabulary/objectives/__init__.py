"""Objectives: what a training stage minimises."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from dllm_run.specs.word import Word

from ..starts import Start


class Passed(NamedTuple):
    """What the body of a network reads for each row of a batch."""

    rows: int = 1
    length: int = 1
    """In lengths of the row; every position attends over all of it."""

    @property
    def positions(self) -> int:
        """Positions for each position of the row."""
        return self.rows * self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective(Word):
    """Base of the objectives."""

    edit_heads: ClassVar[bool] = False
    """Whether the model needs heads for insertions, deletions and substitutions."""

    held_out: ClassVar[str] = "bound"
    """What is told of the held-out rows while training: a key of its metrics."""
    unit: ClassVar[str] = "nats per token"
    """Of the loss and of what is told of the held-out rows."""

    def data_start(self) -> Start | None:
        """What every sequence is aligned with when its data are prepared; None: nothing."""
        return None

    def passed(self) -> Passed:
        """What the body reads in a step, or a bound above it."""
        return Passed()

    def scored_share(self) -> float:
        """Mean of the positions that reach the head for each position of a row, or a bound above it."""
        return 1.0

    def in_strata(self) -> bool:
        """Whether the rows of a global batch are masked the more the later they stand in it."""
        return False

    def sampler(self) -> dict[str, Any]:
        """The sampler, as a spec writes it, of whoever wants to see what the model writes and names none."""
        return {"type": "llada"}
