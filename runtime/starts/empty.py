"""Nothing."""

from dllm_run.specs.vocabulary.starts.empty import Empty

from ..tokenizers import Tokens
from . import Start


def nothing(tokens: Tokens) -> list[int]:
    """No tokens."""
    return []


def build(word: Empty) -> Start:
    """The start of the word."""
    return nothing
