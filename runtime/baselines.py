"""Honest baselines for a bound on text: what a few lines of counting, and gzip, make of the same bytes."""

import gzip
import math
from collections import Counter

BYTES = 256


def unigram(train: bytes, test: bytes) -> float:
    """Bits per byte of single byte frequencies, one added to each count."""
    counts = Counter(train)
    total = len(train) + BYTES
    return -sum(times * math.log2((counts[byte] + 1) / total) for byte, times in Counter(test).items()) / len(test)


def trigram(train: bytes, test: bytes) -> float:
    """Bits per byte of a byte given the two before it, backed off to one and none (Witten and Bell, 1991)."""
    tables = [_Order(train, order) for order in range(3)]
    bits = 0.0
    for place, byte in enumerate(test):
        p = 1 / BYTES
        for order, table in enumerate(tables):
            if place >= order:
                p = table.blend(test[place - order : place], byte, p)
        bits -= math.log2(p)
    return bits / len(test)


class _Order:
    """Counts of bytes after each context of one length."""

    def __init__(self, train: bytes, order: int) -> None:
        self.after: dict[bytes, Counter[int]] = {}
        for place in range(order, len(train)):
            self.after.setdefault(train[place - order : place], Counter())[train[place]] += 1
        self.total = {context: counts.total() for context, counts in self.after.items()}

    def blend(self, context: bytes, byte: int, shorter: float) -> float:
        """Mix these counts with the shorter context's probability; a context with many different followers trusts itself less."""
        counts = self.after.get(context)
        if counts is None:
            return shorter
        total, kinds = self.total[context], len(counts)
        return (counts[byte] + kinds * shorter) / (total + kinds)


def gzipped(train: bytes, test: bytes) -> float:
    """Bits per byte that `gzip -9` needs for the test text after the training text."""
    return 8 * (len(gzip.compress(train + test, 9)) - len(gzip.compress(train, 9))) / len(test)
