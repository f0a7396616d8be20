"""Trackers: `build(word)` gives what opens the tracker of a stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The stage whose metrics are tracked."""

    id: str
    """The same in every attempt."""
    name: str
    group: str
    """The same for all stages of a plan."""
    experiment: str
    folder: Path
    """Beside the attempts, so that it is that of all of them."""
    step: int
    """The last step that is not done again."""
    settings: Mapping[str, Any]


class Tracker(Protocol):
    """Takes the numbers of a stage."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""

    def close(self) -> None:
        """No more will come."""


Opens = Callable[[Tracked], Tracker]
"""Raises Failure where it cannot be opened."""
