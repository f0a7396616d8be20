"""Starts of Edit Flows. Every module has `build(word) -> Start`."""

from collections.abc import Callable

from ..tokenizers import Tokens

Start = Callable[[Tokens], list[int]]
"""The tokens behind the prompt at time 0."""
