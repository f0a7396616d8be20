"""Computed data sets. Every module has `build(word) -> list of rows`, a row being a map of column to value."""

from collections.abc import Callable
from dataclasses import dataclass

from ..failure import Failure
from ..noise import Stream

_TRIES = 200
"""Draws for every row that is asked for: fewer different ones are taken to be all."""


@dataclass(slots=True)
class Drawn:
    """The numbers of one row, one after the other."""

    stream: Stream
    row: int
    count: int = 0

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        self.count += 1
        return self.stream.integer(self.row, self.count) % limit


def pair(prompt: str, response: str) -> dict[str, str]:
    """A row for texts and for pairs."""
    return {"prompt": prompt, "response": response, "text": prompt + response}


def distinct(size: int, seed: int, purpose: str, row: Callable[[Stream, int], dict[str, str] | None]) -> list[dict[str, str]]:
    """Rows with different prompts, in the order in which they were drawn; the first of more are the rows of fewer.

    Raises Failure where there are not so many.
    """
    stream, found = Stream(seed, purpose), dict[str, dict[str, str]]()
    for attempt in range(size * _TRIES):
        made = row(stream, attempt)
        if made is not None:
            found.setdefault(made["prompt"], made)
        if len(found) == size:
            return list(found.values())
    raise Failure(f"{purpose} with these settings has about {len(found)} different rows, and {size} are asked for: lower `size`")
