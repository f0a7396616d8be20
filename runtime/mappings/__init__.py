"""What rows go through before their columns are read. Every module has `build(word) -> Mapping`."""

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Mapping = Callable[[Row], Row | list[Row] | None]
"""A row -> a row, several, or none. It raises Failure for a row that it cannot take; the place of the row is added."""
