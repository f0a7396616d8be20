"""A row of masks."""

from dllm_run.specs.vocabulary.starts.masks import Masks

from . import Start


def build(word: Masks) -> Start:
    """The start of the word."""
    return lambda tokens: [tokens.mask] * word.length
