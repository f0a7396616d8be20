"""Honest baselines for a bound on text: what a few lines of counting, and gzip, make of the same bytes.

Every function takes the training bytes and the scored texts, each with what is given before it (nothing, for plain text).
"""

import gzip
import math
from collections import Counter
from collections.abc import Sequence

BYTES = 256
_WINDOW = 1 << 15
"""gzip looks back so many bytes: more of the training text would change nothing."""

Scored = tuple[bytes, bytes]
"""What is given, and what is scored after it."""


def unigram(train: bytes, texts: Sequence[Scored]) -> float:
    """Bits per byte of single byte frequencies, one added to each count."""
    counts = Counter(train)
    total = len(train) + BYTES
    scored = b"".join(text for _, text in texts)
    return -sum(times * math.log2((counts[byte] + 1) / total) for byte, times in Counter(scored).items()) / len(scored)


def trigram(train: bytes, texts: Sequence[Scored]) -> float:
    """Bits per byte of a byte given the two before it, backed off to one and none (Witten and Bell, 1991)."""
    tables = [_Order(train, order) for order in range(3)]
    bits = 0.0
    for given, text in texts:
        whole = given + text
        for place in range(len(given), len(whole)):
            p = 1 / BYTES
            for order, table in enumerate(tables):
                if place >= order:
                    p = table.blend(whole[place - order : place], whole[place], p)
            bits -= math.log2(p)
    return bits / _length(texts)


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


def gzipped(train: bytes, texts: Sequence[Scored]) -> float:
    """Bits per byte that `gzip -9` adds for each text after the end of the training text and what is given."""
    added = 0
    for given, text in texts:
        before = (train + given)[-_WINDOW:]
        added += len(gzip.compress(before + text, 9)) - len(gzip.compress(before, 9))
    return 8 * added / _length(texts)


def _length(texts: Sequence[Scored]) -> int:
    return sum(len(text) for _, text in texts)
