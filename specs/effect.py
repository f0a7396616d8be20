"""What changing a field does to a finished result: the one annotation that identity, diff and resume rest on."""

from enum import StrEnum


class Effect(StrEnum):
    """The three classes of a field, strongest first."""

    RESULT = "result"
    """Changes what is computed: data, objective, learning rate, sampler steps."""
    NUMERICS = "numerics"
    """Same mathematics, other rounding: micro batch, threads, attention kernel."""
    NONE = "none"
    """Placement, names, logging, time limits."""
