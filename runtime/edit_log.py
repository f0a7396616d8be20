"""What editing did: edits in their order, and rows that are over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .edit_heads import DELETE, INSERT, SUBSTITUTE

NAMES = {SUBSTITUTE: "substitute", DELETE: "delete", INSERT: "insert"}
"""Edits by the names that events and traces have for them."""
NO_TOKEN = -1
"""Of a deletion."""


@dataclass(slots=True)
class Happened:
    """Edits in the order in which they happened, parallel lists; those of one step by position, all in the row as it was before it."""

    request: list[int] = field(default_factory=list)
    """Indices of requests."""
    step: list[int] = field(default_factory=list)
    edit: list[int] = field(default_factory=list)
    """SUBSTITUTE, DELETE or INSERT of `edit_heads.py`."""
    position: list[int] = field(default_factory=list)
    """Of the token that is substituted or deleted, or that something is inserted behind."""
    token: list[int] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)
    """The probability with which just this edit happened within its step."""
    probability: list[float] = field(default_factory=list)
    """The model's probability of the token; 1 of a deletion."""

    def __len__(self) -> int:
        return len(self.request)

    def taken(self, places: Sequence[int]) -> "Happened":
        """Some of the edits."""
        return Happened(*([getattr(self, item.name)[place] for place in places] for item in fields(self)))

    def add(self, other: "Happened") -> None:
        """Other edits behind these."""
        for item in fields(self):
            getattr(self, item.name).extend(getattr(other, item.name))

    def as_json(self) -> dict[str, list[Any]]:
        """The edits of one request: parallel lists."""
        return {
            "step": self.step,
            "edit": [NAMES[edit] for edit in self.edit],
            "position": self.position,
            "token": self.token,
            "chance": [round(value, 4) for value in self.chance],
            "probability": [round(value, 4) for value in self.probability],
        }

    def by_request(self) -> dict[int, "Happened"]:
        """The edits of each request."""
        places: dict[int, list[int]] = {}
        for place, request in enumerate(self.request):
            places.setdefault(request, []).append(place)
        return {request: self.taken(mine) for request, mine in places.items()}


Watch = Callable[[Happened], None]
"""Is told what each step did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A row that is over, without padding."""

    request: int
    tokens: list[int]
    step: list[int]
    """The row's own step that wrote a token; -1: it was given; -2: it stands there since the start."""
    probability: list[float]
    """The model's probability of a token that was written; 1 of the others."""
    passes: int
    """The row's own steps."""
    ties: int
    """Choices that rounding could have turned."""
    start: list[int]
    """The row before its first step."""
    edits: Happened
