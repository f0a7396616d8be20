"""Samplers as rows of choices. Every module has `build(word) -> Choices`; `decode.py` is the one loop that runs them."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Confidence = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(log-probability of the proposed token [R], uniforms [R], logits [R, V]) -> confidence [R]; higher commits sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What makes one sampler out of the engine."""

    block_size: int | None
    """Tokens of a window; None: one window for everything."""
    steps: int | None
    """Forward passes in total; None: one token a step."""
    temperature: float
    confidence: Confidence
    draws: bool
    """Whether random numbers are read at all."""
