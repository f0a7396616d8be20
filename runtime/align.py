"""The alignment of two token sequences with the fewest edits: columns that hold a token, or a blank, of either.

Needleman and Wunsch (1970) with match 0, substitution 1, gap 1. A row of the table is two big integers, a bit for each of its
columns (Myers, J. ACM 46, 1999; Hyyrö, Nordic J. Computing 10, 2003): a row costs a dozen operations on them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLANK = -1
"""No token in this column."""


class Alignment(NamedTuple):
    """Columns of two sequences, int32 and equally many; without their blanks they are the sequences. No column is blank twice."""

    source: NDArray[np.int32]
    goal: NDArray[np.int32]


def align(source: Sequence[int], goal: Sequence[int]) -> Alignment:
    """Of all alignments with the fewest edits the one whose last columns prefer substitution, then deletion, then insertion."""
    kept, dearer = _table(source, goal)
    left: list[int] = []
    right: list[int] = []
    row, column = len(source), len(goal)
    while row and column:
        bit = column - 1
        # A match is as cheap as its diagonal neighbour, so only a mismatch asks: is this cell dearer than that neighbour?
        if source[row - 1] == goal[bit] or not kept[row - 1] >> bit & 1:
            row, column = row - 1, bit
            left.append(source[row])
            right.append(goal[column])
        elif dearer[row - 1] >> bit & 1:
            row -= 1
            left.append(source[row])
            right.append(BLANK)
        else:
            column = bit
            left.append(BLANK)
            right.append(goal[column])
    left += [*reversed(source[:row]), *[BLANK] * column]
    right += [*[BLANK] * row, *reversed(goal[:column])]
    return Alignment(np.array(left[::-1], dtype=np.int32), np.array(right[::-1], dtype=np.int32))


def _table(source: Sequence[int], goal: Sequence[int]) -> tuple[list[int], list[int]]:
    """For every source token, with a bit for every goal token: cells equal to their diagonal neighbour, and dearer than the one above."""
    places: dict[int, int] = {}
    for place, token in enumerate(goal):
        places[token] = places.get(token, 0) | 1 << place
    whole = (1 << len(goal)) - 1
    # Along a row: which cells are dearer, or cheaper, by one than their neighbour before. The row of no source token only rises.
    rises, falls = whole, 0
    kept, dearer = [], []
    for token in source:
        same = places.get(token, 0)
        equal = (((same & rises) + rises) ^ rises | same | falls) & whole
        down = (falls | ~(equal | rises)) & whole
        up = equal & rises
        kept.append(equal)
        dearer.append(down)
        # The column of no goal token rises with every row.
        down = (down << 1 | 1) & whole
        rises = (up << 1 | ~(equal | down)) & whole
        falls = down & equal
    return kept, dearer
