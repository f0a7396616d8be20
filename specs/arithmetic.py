"""Arithmetic that compiler and runtime share: amounts in steps, logits in chunks."""

import math

from .quantity import Quantity

LOGITS_OF_CHUNK = 1 << 23
"""32 MB of float32."""
_FEWEST_ROWS = 32
"""Products of fewer rows are slow."""


def optimizer_steps(duration: Quantity, *, batch: int, rows: int | None = None, tokens: int | None = None) -> int | None:
    """Steps of a training: as given, or enough for so many passes over `rows`, or over so many tokens of rows with `tokens` in all.

    None where the size of the data is needed and not known.
    """
    if duration.unit == "steps":
        return math.ceil(duration.amount)
    if duration.unit == "epochs":
        return None if rows is None else math.ceil(duration.amount * rows / batch)
    return None if rows is None or tokens is None else math.ceil(duration.amount * rows / (tokens * batch))


def rows_of_chunk(vocabulary: int) -> int:
    """Positions whose logits exist at once while a loss is computed."""
    return max(_FEWEST_ROWS, LOGITS_OF_CHUNK // vocabulary)
