"""The type table as data: what a word demands of the traits beside it, and which options the traits beside them make inert.

A *trait* is a dotted path: `own.X` of the object that carries the row, `data.X` of the data set that its stage reads, `format` in which
that is read, `prepared.X` of the data stage that prepares it, `tokenizer` of the model and `data_tokenizer` of the data, `edit_heads`,
`architecture` and `masked_architecture` of the weights, `model.X` of the model as the stage takes it, `weights.X` of that where they
began, `trained.X` of the stage that trained them, `trained_tokenizer` and `trained_logit_shift` of that, `carried` where an adapter lies
over them and `trained_adapter` that of the stage which they come from, `nowhere` where the chain of models leads to no weights, `source.X`
of the stage that the model comes from and `kept_checkpoint` the step that it keeps nearest to the one that is asked for, `sweep` where
there is one, and any other path from the stage, such as `compute.device` (`stage.X` where X would be one of these).
The value of a word is its name; what is not there has the value None.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

Value = str | int | float | bool | None


class Relation(Enum):
    """What a trait must be."""

    AMONG = "among"
    """One of the row's values. A trait that is not there is no violation: nothing is known of it."""
    SAME = "same"
    """Equal to the subject."""
    AT_LEAST = "at least"
    """No smaller than the row's `bound`, or than the subject where that is None."""
    GIVEN = "given"
    """There at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Holds where the trait has one of these values."""

    trait: str
    values: tuple[Value, ...] = ()
    given: bool | None = None
    """True: where the trait is there, whatever its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A row: what a trait must be for the subject to make sense."""

    trait: str
    message: str
    """A sentence; {subject} and {trait} stand for the values."""
    reason: str = ""
    subject: str = "own"
    """The trait that asks for it: `own` is the word itself."""
    when: tuple[Condition, ...] = ()
    """All must hold, or the row says nothing."""
    relation: Relation = Relation.AMONG
    values: tuple[Value, ...] = ()
    bound: float | None = None
    label: str = ""
    """What stands beside the place of the subject."""
    code: str = "E420"
    """One that begins with W is a warning."""
    cure: tuple[str, Value] | None = None
    """A trait, and a value of it under which the row holds; None: what follows from the relation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inert:
    """A row: an option that does nothing under these conditions; one that has its default is harmless."""

    option: str
    reason: str
    """Goes on from `NAME has no effect: `."""
    when: tuple[Condition, ...] = ()
    label: str = "leave it out"


Row = Requirement | Inert


class Compatible:
    """Base of whatever carries rows."""

    __slots__ = ()
    table: ClassVar[tuple[Row, ...]] = ()

    def rows(self) -> Iterator[Row]:
        """The rows of this object; a class overrides it for rows that follow from its fields."""
        yield from self.table
