"""Sequences for Edit Flows: behind its prompt each is aligned with its start, column by column."""

from dataclasses import replace

import numpy as np

from dllm_run.specs.vocabulary.starts import Start as StartWord

from .align import Alignment, align
from .build import build
from .failure import Failure
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


def start_of(word: StartWord, tokens: Tokens) -> list[int]:
    """The tokens of a start."""
    made: Start = build(word)
    return made(tokens)


def merged(runs: list[int]) -> list[int]:
    """Runs in which nothing but the last answer is learned; those of a sequence that does not end with one are all given."""
    return [sum(runs[:-1]), runs[-1]] if len(runs) % 2 == 0 else [sum(runs)]


def aligned(tokens: list[int], prompt: int, start: list[int]) -> Alignment:
    """A sequence, whose first `prompt` tokens are given, aligned with these followed by its start."""
    given = np.array(tokens[:prompt], dtype=np.int32)
    behind = align(start, tokens[prompt:])
    return Alignment(np.concatenate([given, behind.source]), np.concatenate([given, behind.goal]))
