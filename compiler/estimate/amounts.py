"""How much a stage has to do: rows of its data, their length, steps of a training. Pairs are the least and the most."""

import math
from dataclasses import dataclass

from dllm_run.specs.arithmetic import optimizer_steps
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.tokenizers import Tokenizer
from dllm_run.specs.vocabulary.training import Training

from ..sizes import Rows, Sizes

TokenizerOf = Tokenizer | Reference | str | None
Range = tuple[float, float]

_TOKENS_A_BYTE = (1 / 6, 1 / 2)  # of trained tokenizers, from English prose to code and other scripts
_SHORTEST = 1 / 4  # of the longest sequence: the mean length that rows of unknown length have at least, by assumption


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Rows of a data set whose sources are known."""

    training: int
    held_out: int
    row_bytes: float
    most_bytes: int
    """A bound on the bytes of all rows together."""
    equal: bool
    """Whether all rows are of one length."""


def size_of(data: Data, format: str, at_hand: Sizes | None) -> Size | None:
    """Rows of a data set, split as the runtime splits them; None where a source is not known or nothing is left to train on."""
    if data.where is not None or data.map:
        return None
    columns = (data.columns.text,) if format == "text" else (data.columns.prompt, data.columns.response)
    found = [_source(source, columns, at_hand) for source in data.sources]
    known = [rows for rows in found if rows is not None]
    total = sum(rows.rows for rows in known)
    held_out = data.holdout.of(total) if data.holdout is not None else 0
    if len(known) < len(found) or held_out >= total:
        return None
    training = total - held_out
    return Size(
        training=_kept(training, [rows.rows / total for rows in known], data),
        held_out=held_out,
        row_bytes=_mean_bytes(known, data),
        most_bytes=sum(rows.most_bytes * _times(rows, data) for rows in known),
        equal=all(source.generate is not None and source.generate.alike for source in data.sources),
    )


def _mean_bytes(known: list[Rows], data: Data) -> float:
    counts = [source.weight or 0 for source in data.sources] if data.weighted else [rows.rows for rows in known]
    return sum(count * rows.row_bytes for count, rows in zip(counts, known, strict=True)) / sum(counts)


def _times(rows: Rows, data: Data) -> int:
    """How often a row of a source is read, at most: `limit` may ask a mixture for more rows than there are."""
    return 1 if not data.weighted or data.limit is None else math.ceil(data.limit / rows.rows)


def _kept(training: int, shares: list[float], data: Data) -> int:
    """Rows of the training split. Of a mixture they are as many as `limit` says, or as the source that lasts least lets through."""
    if not data.weighted:
        return training if data.limit is None else min(training, data.limit)
    whole = sum(source.weight or 0 for source in data.sources)
    lasting = min(training * share * whole / (source.weight or whole) for share, source in zip(shares, data.sources, strict=True))
    return max(1, round(lasting)) if data.limit is None else data.limit


def _source(source: Source, columns: tuple[str, ...], at_hand: Sizes | None) -> Rows | None:
    if source.where is not None or source.split is not None or source.config is not None:
        return None
    if source.generate is not None:
        count, row_bytes = source.generate.count(), source.generate.row_bytes
        found = None if count is None else Rows(rows=count, row_bytes=row_bytes, most_bytes=count * row_bytes)
    else:
        found = at_hand.rows(source.path, columns) if at_hand is not None and source.path is not None else None
    if found is None or source.limit is None:
        return found
    return Rows(rows=min(found.rows, source.limit), row_bytes=found.row_bytes, most_bytes=found.most_bytes)


def row_tokens(data: Data, size: Size | None, tokenizer: TokenizerOf) -> Range:
    """Mean tokens of a row before rows are joined, no longer than a sequence unless they are."""
    if size is None:
        return data.max_length * _SHORTEST, data.max_length
    exact = isinstance(tokenizer, Tokenizer) and tokenizer.token_a_byte
    least, most = (1.0, 1.0) if exact else _TOKENS_A_BYTE
    added = _added(tokenizer)
    found = (size.row_bytes * least + (added if exact else 0), size.row_bytes * most + added)
    longest = data.max_length if data.packing == "none" else math.inf
    return min(longest, found[0]), min(longest, found[1])


def longest_sequence(data: Data, size: Size | None, tokenizer: TokenizerOf) -> int:
    """Tokens that no sequence exceeds: of rows that are all alike known exactly, else `max_length`."""
    alike = size is not None and size.equal and data.packing == "none" and data.padding == "mask"
    return min(data.max_length, math.ceil(row_tokens(data, size, tokenizer)[1])) if alike else data.max_length


def sequence_tokens(data: Data, size: Size | None, tokenizer: TokenizerOf) -> Range:
    """Mean tokens of a training sequence."""
    if data.packing == "documents":
        return data.max_length / 2, data.max_length  # two sequences of which each is at most half full would be one
    if data.packing == "cut" or (data.padding == "train_eos" and data.padding_multiple is None):
        return data.max_length, data.max_length
    least, most = row_tokens(data, size, tokenizer)
    filled = data.padding_multiple or 1 if data.padding == "train_eos" else 1
    return least, min(data.max_length, most + filled - 1)


def padded_tokens(data: Data, size: Size | None, tokenizer: TokenizerOf) -> float:
    """Positions that a sequence takes in a batch, at most: rows are filled up to the longest beside them."""
    most = sequence_tokens(data, size, tokenizer)[1]
    return most if data.packing != "none" or (size is not None and size.equal) else min(data.max_length, 2 * most)


def sequences(data: Data, size: Size, tokenizer: TokenizerOf) -> tuple[int, int]:
    """Training sequences; the most is a bound, as rows may be dropped and tokens are no more than bytes."""
    if data.packing == "none":
        return (size.training if data.truncation == "right" else 1), size.training
    least = size.training * row_tokens(data, size, tokenizer)[0]
    most = size.most_bytes + _added(tokenizer) * size.training
    fewest, whole = max(1, math.ceil(least / data.max_length)), math.ceil(most / data.max_length)
    # Whole rows leave gaps, but never two sequences that are half empty.
    return fewest, whole if data.packing == "cut" else 2 * whole + 1


def steps_of(stage: Training, data: Data, size: Size | None, tokenizer: TokenizerOf) -> tuple[int, int] | None:
    """Optimizer steps, the least and the most; None where they follow from rows that are not known.

    Unknown sources are taken to have as many rows as `limit` lets through.
    """
    batch = stage.batch.global_
    if stage.duration.unit == "steps":
        exact = optimizer_steps(stage.duration, batch=batch)
        assert exact is not None
        return exact, exact
    if stage.duration.unit == "tokens":
        shortest, longest = sequence_tokens(data, size, tokenizer)
        return math.ceil(stage.duration.amount / (longest * batch)), math.ceil(stage.duration.amount / (shortest * batch))
    if size is None:
        return None if data.limit is None or data.packing != "none" else _epochs(stage, data.limit, data.limit)
    return _epochs(stage, *sequences(data, size, tokenizer))


def _epochs(stage: Training, least: int, most: int) -> tuple[int, int]:
    steps = [optimizer_steps(stage.duration, batch=stage.batch.global_, rows=rows) for rows in (least, most)]
    assert steps[0] is not None and steps[1] is not None
    return steps[0], steps[1]


def prompt_tokens(texts: tuple[str, ...], tokenizer: TokenizerOf) -> tuple[int, int]:
    """Tokens of the longest prompt."""
    longest = max((len(text.encode()) for text in texts), default=0)
    if isinstance(tokenizer, Tokenizer) and tokenizer.token_a_byte:
        return _named_as_one(texts, tokenizer), longest
    return min(1, longest), longest + 1


def _named_as_one(texts: tuple[str, ...], tokenizer: Tokenizer) -> int:
    """Names of special tokens in a prompt stand for one token each."""

    def count(text: str) -> int:
        for name in tokenizer.specials:
            text = text.replace(name, " ")
        return len(text.encode())

    return max(map(count, texts), default=0)


def _added(tokenizer: TokenizerOf) -> int:
    return tokenizer.added if isinstance(tokenizer, Tokenizer) else Tokenizer.added
