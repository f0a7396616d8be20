"""What a vocabulary class finds wrong with its own fields: data, without places in a file."""

import math
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A finding. Paths are relative to the object that reports it."""

    code: str
    message: str
    path: tuple[str, ...] = ()
    key: bool = False
    """The key at the end of `path` is wrong, not its value."""
    label: str = ""
    notes: tuple[str, ...] = ()
    fix: tuple[tuple[str, ...], Any] | None = None
    """A path and the value that would be right."""
    related: tuple[tuple[tuple[str, ...], str], ...] = ()
    severity: str = "error"

    def below(self, key: str) -> "Problem":
        """The same, told by the object that has this one at `key`."""
        fix = None if self.fix is None else ((key, *self.fix[0]), self.fix[1])
        related = tuple(((key, *path), text) for path, text in self.related)
        return replace(self, path=(key, *self.path), fix=fix, related=related)


def nearest_divisors(whole: int, wanted: int) -> list[int]:
    """The divisors of `whole` next to `wanted`, at most one on either side, the closer first."""
    # A number of 64 bits would take years: beyond 10^10 only divisors next to a small one, or to its cofactor, are found.
    small = [number for number in range(1, min(math.isqrt(whole), 100_000) + 1) if whole % number == 0]
    divisors = sorted({*small, *(whole // number for number in small)})
    below = [number for number in divisors if number < wanted][-1:]
    above = [number for number in divisors if number > wanted][:1]
    return sorted(below + above, key=lambda number: (abs(number - wanted), number))


def nearest_multiples(of: int, wanted: int) -> list[int]:
    """The positive multiples of `of` next to `wanted`, the closer first."""
    below = wanted // of * of
    found = [number for number in (below, below + of) if number > 0]
    return sorted(found, key=lambda number: (abs(number - wanted), number))
