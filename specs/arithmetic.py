"""Arithmetic that compiler and runtime share: amounts in steps."""

import math

from .quantity import Quantity


def optimizer_steps(duration: Quantity, *, batch: int, rows: int | None = None, tokens: int | None = None) -> int | None:
    """Steps of a training: as given, or enough for so many passes over `rows`, or over so many tokens of rows with `tokens` in all.

    None where the size of the data is needed and not known.
    """
    if duration.unit == "steps":
        return math.ceil(duration.amount)
    if duration.unit == "epochs":
        return None if rows is None else math.ceil(duration.amount * rows / batch)
    return None if rows is None or tokens is None else math.ceil(duration.amount * rows / (tokens * batch))
