"""From rows of text to sequences of tokens: the hold-out leaves first, then rows are joined or cut."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dllm_run.specs.vocabulary.data import Data

from .align import Alignment
from .failure import Failure
from .noise import Stream
from .sources import Row
from .tokenizers import Tokens


@dataclass(slots=True)
class Sequences:
    """Sequences of one split."""

    tokens: list[list[int]] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)
    """Leading tokens of each that are never masked."""
    cut: int = 0
    """Rows that lost their end."""
    dropped: int = 0
    """Rows that were too long to keep."""
    alignments: list[Alignment] | None = None
    """Of each sequence with its start, where an objective edits one into the other."""

    def add(self, tokens: list[int], prompt: int) -> None:
        """One more sequence."""
        self.tokens.append(tokens)
        self.prompt.append(prompt)


def split(rows: list[Row], data: Data) -> tuple[list[Row], list[Row]]:
    """Training and held-out rows. The hold-out is chosen first, so that `limit` never changes it. Raises Failure if nothing is left."""
    order = Stream(data.seed, "holdout").permutation(len(rows), 0).tolist()
    held = data.holdout.of(len(rows)) if data.holdout is not None else 0
    if held >= len(rows):
        raise Failure(f"a hold-out of {held} rows leaves nothing of {len(rows)} to train on")
    kept = order[held:] if data.limit is None else order[held : held + data.limit]
    return [rows[index] for index in sorted(kept)], [rows[index] for index in sorted(order[:held])]


def sequences(rows: list[Row], data: Data, tokens: Tokens, progress: Callable[[int], None]) -> Sequences:
    """Rows as sequences of at most `max_length` tokens."""
    found = Sequences()
    texts = _encoded(rows, tokens, progress)
    if data.packing:
        _pack(texts, data.max_length, found)
        return found
    for ids, prompt in texts:
        too_long = len(ids) > data.max_length
        if too_long and (data.truncation == "drop" or prompt >= data.max_length):
            found.dropped += 1
            continue
        found.cut += too_long
        found.add(ids[: data.max_length], prompt)
    return found


def _encoded(rows: list[Row], tokens: Tokens, progress: Callable[[int], None]) -> Iterator[tuple[list[int], int]]:
    for index, row in enumerate(rows, start=1):
        given = tokens.encode(row["prompt"]) if "prompt" in row else []
        answer = tokens.encode(row["response"] if "prompt" in row else row["text"])
        yield [*tokens.begin, *given, *answer, *tokens.end], len(tokens.begin) + len(given)
        progress(index)


def _pack(texts: Iterator[tuple[list[int], int]], length: int, found: Sequences) -> None:
    buffer: list[int] = []
    for ids, _ in texts:
        buffer.extend(ids)
        while len(buffer) >= length:
            found.add(buffer[:length], 0)
            del buffer[:length]
    if buffer:
        found.add(buffer, 0)


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
