"""Sizes and times as texts."""

_GIB, _MIB = 2**30, 2**20
_UNITS = (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 48 * 3600), ("days", 86400, float("inf")))
"""(name, seconds, up to how many seconds it is used)"""


def size(count: int) -> str:
    """Bytes, in MiB below a tenth of a GiB."""
    return f"{max(1, round(count / _MIB))} MiB" if count < _GIB / 10 else f"{gib(count)} GiB"


def gib(count: int) -> str:
    """The number of GiB, with a decimal below 10."""
    return f"{count / _GIB:.1f}" if count < 9.95 * _GIB else f"{count / _GIB:.0f}"


def time(seconds: float) -> str:
    """Seconds, in the unit that suits them."""
    number, unit = _time(seconds)
    return f"{number} {unit}"


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def span(shortest: float, longest: float) -> str:
    """A range of times."""
    (low, low_unit), (high, high_unit) = _time(shortest), _time(longest)
    if (low, low_unit) == (high, high_unit):
        return f"{high} {high_unit}"
    return f"{low}-{high} {high_unit}" if low_unit == high_unit else f"{low} {low_unit} - {high} {high_unit}"


def _time(seconds: float) -> tuple[str, str]:
    name, unit, _ = next(row for row in _UNITS if seconds < row[2])
    number = seconds / unit
    return (f"{number:.1f}" if unit > 60 and number < 10 else f"{max(1, round(number))}"), name
