"""Sequences for Edit Flows: behind its prompt each is aligned with its start, column by column."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.starts import Start as StartWord

from .align import Alignment, align
from .build import build
from .failure import Failure
from .prepare import Sequences, sequences
from .sources import Row
from .starts import Start
from .tokenizers import Tokens


def opened(tokens: Tokens) -> Tokens:
    """The tokenizer with a token before every text, which no edit touches: without it an empty text has no place to insert at.

    Where the tokenizer has no token that begins a text it is the one that ends it: it stands between texts either way.
    Raises Failure if there is neither.
    """
    if tokens.begin:
        return tokens
    if not tokens.end:
        raise Failure("the tokenizer has neither a token that begins a text nor one that ends it: edit_flow needs one to insert behind")
    return replace(tokens, begin=tokens.end[:1])


def edit_sequences(rows: list[Row], data: Data, tokens: Tokens, start: StartWord, progress: Callable[[int], None]) -> Sequences:
    """Rows as sequences of at most `max_length` tokens, with their alignments. A prompt is never edited, so it is aligned with itself."""
    found = sequences(rows, data, opened(tokens), progress)
    build_start: Start = build(start)
    first = build_start(tokens)
    kept = [index for index, prompt in enumerate(found.prompt) if prompt + len(first) <= data.max_length]
    if found.tokens and not kept:
        raise Failure(f"no prompt leaves room for a start of {len(first)} tokens in sequences of {data.max_length}")
    return Sequences(
        tokens=[found.tokens[index] for index in kept],
        prompt=[found.prompt[index] for index in kept],
        cut=found.cut,
        dropped=found.dropped + len(found.tokens) - len(kept),
        alignments=[aligned(found.tokens[index], found.prompt[index], first) for index in kept],
    )


def aligned(tokens: list[int], prompt: int, start: list[int]) -> Alignment:
    """A sequence, whose first `prompt` tokens are given, aligned with these followed by its start."""
    given = np.array(tokens[:prompt], dtype=np.int32)
    behind = align(start, tokens[prompt:])
    return Alignment(np.concatenate([given, behind.source]), np.concatenate([given, behind.goal]))
