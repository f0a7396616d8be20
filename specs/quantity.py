"""Amounts with a unit as users write them: `3 epochs`, `500 rows`, `2B tokens`, or a bare fraction such as `0.05`."""

import math
import re
from dataclasses import dataclass
from typing import Self

_TEXT = re.compile(r"^\s*(\d+(?:\.\d+)?)(?:\s*([kKMBT]))?\s+([a-z]+)\s*$")
_FACTOR = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
FRACTION = "fraction"


@dataclass(frozen=True, slots=True)
class Quantity:
    """`amount` of `unit`; the unit `fraction` is written as a bare number."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, value: str | int | float) -> Self:
        """Read `"3 epochs"`, `"2B tokens"` or a bare fraction. Raises ValueError for anything else."""
        if isinstance(value, bool):
            raise ValueError(f"{value!r} is not an amount")
        if isinstance(value, (int, float)):
            return cls(float(value), FRACTION)
        match = _TEXT.match(value)
        if match is None:
            raise ValueError(f"{value!r} is not an amount with a unit")
        number, factor, unit = match.groups(default="")
        if not math.isfinite(float(number) * _FACTOR[factor]):
            raise ValueError(f"{number[:20]}… {unit} is too large an amount")
        return cls(float(number) * _FACTOR[factor], unit if unit.endswith("s") else unit + "s")

    def text(self) -> str | float:
        """The canonical form that plans hold: two spellings of one amount give the same text."""
        if self.unit == FRACTION:
            return self.amount
        return f"{self.amount:.12g} {self.unit}"

    def of(self, whole: int) -> int:
        """A fraction of `whole`, rounded to the nearest integer and at least 1, or the plain amount."""
        if self.unit == FRACTION:
            return max(1, round(self.amount * whole)) if self.amount > 0 else 0
        return round(self.amount)
