"""From rows to sequences: the hold-out leaves first, sources are mixed, then what became tokens is joined, shared out or left apart."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass

import numpy as np

from dllm_run.specs.vocabulary.data import Data

from .failure import Failure
from .noise import Stream
from .packing import best_fit
from .sequence import Sequence, learned_of, runs_of
from .sources import Row

Piece = tuple[list[int], list[int]]
"""Tokens and runs of a text."""
Keep = Callable[[Iterable[Piece]], tuple[Several[int], Callable[[int], Piece]]]
"""Keeps pieces until the lengths of all are known: these, and each piece by its number."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows are trained on, and which are not: indices of rows."""

    training: list[int]
    """In the order in which they are read; with weights a row may be there several times."""
    held_out: list[int]
    leaked: int
    """Rows that left training since they are equal to a held-out one."""


def key_of(row: Row) -> bytes:
    """What rows of equal content share."""
    return hashlib.blake2b(json.dumps(row, ensure_ascii=False, sort_keys=True).encode(), digest_size=16).digest()


def choose(keys: Several[bytes], sources: Several[int], data: Data) -> Chosen:
    """Training and held-out rows, by the keys of all rows and the source of each. Raises Failure if nothing is left.

    The hold-out is chosen first, so that neither `limit` nor weights ever change it.
    """
    count = len(keys)
    order = Stream(data.seed, "holdout").permutation(count, 0).tolist()
    held = data.holdout.of(count) if data.holdout is not None else 0
    if held >= count:
        raise Failure(f"a hold-out of {held} rows leaves nothing of {count} to train on")
    held_out = sorted(order[:held])
    unseen = {keys[index] for index in held_out}
    rest = [index for index in order[held:] if keys[index] not in unseen]
    if not rest:
        raise Failure(f"every row is equal to one of the {held} that are held out: nothing is left to train on")
    training = _mixed(rest, sources, data) if data.weighted else sorted(rest if data.limit is None else rest[: data.limit])
    return Chosen(training, held_out, count - held - len(rest))


def _mixed(rest: list[int], sources: Several[int], data: Data) -> list[int]:
    """Of every source its share, spread evenly over the whole. Within a source every row comes once before any comes again."""
    rows = [[index for index in rest if sources[index] == source] for source in range(len(data.sources))]
    counts = mixture([source.weight or 0 for source in data.sources], [len(found) for found in rows], data.limit)
    placed = []
    for source, (found, count) in enumerate(zip(rows, counts, strict=True)):
        if count and not found:
            raise Failure(f"source {source + 1} has no row left for its share of the mixture")
        # `rest` is shuffled already: its first rows are any rows.
        chosen = sorted(index for turn in range(-(-count // max(1, len(found)))) for index in found[: count - turn * len(found)])
        placed += [((place + 0.5) / count, source, index) for place, index in enumerate(chosen)]
    return [index for _, _, index in sorted(placed)]


def mixture(weights: Several[float], there: Several[int], limit: int | None) -> list[int]:
    """Rows of each source: by the largest remainders of their shares of `limit`, or of as many as there are without repeating any."""
    whole = sum(weights)
    shares = [weight / whole for weight in weights]
    if limit is None:
        size = min(count / share for count, share in zip(there, shares, strict=True))
        return [min(count, round(share * size)) for count, share in zip(there, shares, strict=True)]
    counts = [int(share * limit) for share in shares]
    largest = sorted(range(len(shares)), key=lambda index: (counts[index] - shares[index] * limit, index))
    for index in largest[: limit - sum(counts)]:
        counts[index] += 1
    return counts


def packed(pieces: Iterable[Piece], data: Data, keep: Keep, *, share: bool = True) -> Iterator[Sequence]:
    """Pieces as `packing` says. Without `share` no two whole texts share a sequence."""
    if data.packing == "cut":
        yield from joined(pieces, data.max_length)
        return
    parts = (part for piece in pieces for part in parted(piece, data.max_length))
    if data.packing == "documents" and share:
        lengths, part_of = keep(parts)
        for members in best_fit(lengths, data.max_length):
            yield shared([part_of(index) for index in members])
        return
    yield from (Sequence(tokens=tokens, runs=runs) for tokens, runs in parts)


def joined(pieces: Iterable[Piece], length: int) -> Iterator[Sequence]:
    """One text after the other, cut into full sequences; all of it is learned."""
    buffer: list[int] = []
    for tokens, _ in pieces:
        buffer.extend(tokens)
        while len(buffer) >= length:
            yield Sequence(tokens=buffer[:length], runs=[0, length])
            del buffer[:length]
    if buffer:
        yield Sequence(tokens=buffer, runs=[0, len(buffer)])


def parted(piece: Piece, length: int) -> Iterator[Piece]:
    """A text, or its parts where it is longer than a sequence; those of which nothing is learned are left out."""
    tokens, runs = piece
    if len(tokens) <= length:
        if len(runs) > 1:
            yield piece
        return
    learned = learned_of(runs)
    for start in range(0, len(tokens), length):
        part = learned[start : start + length]
        if any(part):
            yield tokens[start : start + length], runs_of(part)


def shared(pieces: list[Piece]) -> Sequence:
    """A sequence of several texts that do not see each other."""
    learned = np.concatenate([learned_of(runs) for _, runs in pieces])
    return Sequence(
        tokens=[token for tokens, _ in pieces for token in tokens],
        runs=runs_of(learned.tolist()),
        documents=[len(tokens) for tokens, _ in pieces],
    )


def mask_spans(length: int, prompt: int, *, ratio: float, span: int, stream: Stream, sample: int) -> list[bool]:
    """Which of `length` tokens to hide: spans of `span` tokens after the prompt, about `ratio` of them, spread over the row."""
    places = length - prompt
    spans = max(1, round(places * ratio / span)) if places > 0 else 0
    hidden = [False] * length
    # One span in each of equal parts of the row, at a random place within it.
    for index in range(spans):
        start, stop = prompt + places * index // spans, prompt + places * (index + 1) // spans
        room = max(0, stop - start - span - 1)
        offset = stream.integer(sample, index) % (room + 1)
        for position in range(start + offset, min(start + offset + span, stop)):
            hidden[position] = True
    return hidden
