"""Starting from nothing."""

from dataclasses import dataclass
from typing import ClassVar

from . import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty(Start):
    """Nothing: every token of the goal is inserted."""

    word: ClassVar[str] = "empty"
