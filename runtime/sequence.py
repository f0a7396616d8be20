"""One sequence of a data set: its tokens, which of them are given and which learned, and the texts that share it."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Tokens in a row."""

    tokens: list[int]
    runs: list[int]
    """Their lengths, alternately of given and of learned tokens: `[5, 10]` are 5 given ones and 10 learned ones behind them."""
    documents: list[int] | None = None
    """Lengths of the texts that share the row and do not see each other; None: it is one text."""

    @property
    def prompt(self) -> int:
        """Leading tokens that are given."""
        return self.runs[0] if self.runs else 0

    @property
    def learned(self) -> list[bool]:
        """For each token whether it may be masked, and is then learned."""
        return learned_of(self.runs)


def learned_of(runs: Iterable[int]) -> list[bool]:
    """For each token of runs whether it is learned."""
    return [index % 2 == 1 for index, length in enumerate(runs) for _ in range(length)]


def runs_of(learned: Iterable[bool]) -> list[int]:
    """The runs of tokens of which it is said one by one whether they are learned; the first run is given, if of no length."""
    found = [(value, sum(1 for _ in group)) for value, group in itertools.groupby(learned)]
    lead = [] if not found or not found[0][0] else [0]
    return [*lead, *(length for _, length in found)]
