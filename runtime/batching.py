"""Which rows go through the model together: neighbours in length, as many as a budget of tokens allows, with hardly any padding."""

from collections.abc import Sequence

MOST_PADDING = 1.05
"""Tokens of a batch with its padding, for each token of its rows, at most."""


def batched(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Batches of indices, the longest rows first. Rows times the longest of a batch stay within the budget; a row above it is alone.

    Long first: what does not fit in memory fails at once.
    """
    batches: list[list[int]] = []
    longest = real = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        if batches:
            padded = (len(batches[-1]) + 1) * longest
            if padded <= budget and padded <= MOST_PADDING * (real + length):
                batches[-1].append(index)
                real += length
                continue
        batches.append([index])
        longest = real = length
    return batches
