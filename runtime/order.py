"""The order of rows: pure functions of (stream, visit, place), whatever shares them among processes."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from .noise import Stream

BLOCK = 1024
"""Neighbours that stay together where rows are read while training."""
WINDOW = 8
"""Blocks whose rows are shuffled among each other."""

Order = Callable[[int, int], int]
"""(visit, place within it) -> row."""


def shuffled(stream: Stream, count: int) -> Order:
    """All rows in an order of each visit's own."""

    @lru_cache(maxsize=2)
    def permutation(visit: int) -> list[int]:
        found: list[int] = stream.permutation(count, visit).tolist()
        return found

    return lambda visit, place: permutation(visit)[place]


def windowed(stream: Stream, count: int, block: int = BLOCK, window: int = WINDOW) -> Order:
    """Blocks of neighbours in an order of each visit's own, and their rows shuffled within windows of blocks.

    Only what lies in one window has to be read at a time, and only the orders of blocks and of one window are held.
    """
    blocks = -(-count // block)
    inner = Stream(stream.integer(), "window")

    @lru_cache(maxsize=2)
    def order_of_blocks(visit: int) -> list[int]:
        found: list[int] = stream.permutation(blocks, visit).tolist()
        # The last block may be shorter; where it stands decides where all behind it begin. At the end it moves nobody.
        found.remove(blocks - 1)
        return [*found, blocks - 1]

    @lru_cache(maxsize=2)
    def rows_of_window(visit: int, number: int) -> list[int]:
        chosen = order_of_blocks(visit)[number * window : (number + 1) * window]
        rows = [row for start in chosen for row in range(start * block, min(count, (start + 1) * block))]
        return [rows[index] for index in inner.permutation(len(rows), visit * (-(-blocks // window)) + number).tolist()]

    def at(visit: int, place: int) -> int:
        number, offset = divmod(place, block * window)
        return rows_of_window(visit, number)[offset]

    return at


def bucketed(stream: Stream, lengths: Callable[[int], int], *, batch: int, batches: int, total: int) -> Callable[[int], int]:
    """From places of a run to places: within every `batches` batches rows of one length come into one batch.

    The same places in all, and batches in an order of the window's own. Within a batch the order is drawn anew: times are stratified by
    it, and must have nothing to do with lengths.
    """
    size = batch * batches

    @lru_cache(maxsize=2)
    def window(number: int) -> list[int]:
        places = range(number * size, min(total, (number + 1) * size))
        by_length: Sequence[int] = sorted(places, key=lambda place: (lengths(place), place))
        whole = [by_length[start : start + batch] for start in range(0, len(by_length), batch)]
        count = len(places) // batch
        order = stream.permutation(count, number).tolist() + list(range(count, len(whole)))
        found = []
        for index in order:
            inside = Stream(stream.integer(number), "within").permutation(len(whole[index]), index).tolist()
            found += [whole[index][place] for place in inside]
        return found

    def at(place: int) -> int:
        number, offset = divmod(place, size)
        return window(number)[offset]

    return at
