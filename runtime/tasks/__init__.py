"""Built-in tasks, as lm-eval tasks over the held-out rows. Every module has `build(word, setting) -> BuiltTask`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..sources import Row
from ..tokenizers import Tokens

PUBLISHED = Path(__file__).with_name("published")
"""Task files of lm-eval for tasks of the published scripts that it does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a built-in task is made from."""

    rows: list[Row]
    """The held-out rows."""
    data: Path
    """The prepared data."""
    tokens: Tokens
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A line of a result table: a number, and what it means in one sentence."""

    name: str
    value: float
    unit: str
    meaning: str
    error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltTask:
    """A task for lm-eval, and how its result is told."""

    config: dict[str, Any]
    """lm-eval's own form."""
    table: Callable[[dict[str, Any]], list[TableRow]]
    """From lm-eval's results of this task to the table."""
    note: Callable[[str], str | None] | None = None
    """What to say of a filled canvas."""
    columns: int | None = None
