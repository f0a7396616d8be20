"""LLaDA: even quotas, most confident first, block by block (arXiv 2502.09992, algorithm 5)."""

from torch import Tensor

from dllm_run.specs.vocabulary.samplers.llada import Llada

from . import Choices


def probability(logp_R: Tensor, uniform_R: Tensor, logits_RV: Tensor) -> Tensor:
    """The model's own probability of the proposed token, not tempered."""
    return logp_R


def chance(logp_R: Tensor, uniform_R: Tensor, logits_RV: Tensor) -> Tensor:
    """A random order."""
    return uniform_R


def build(word: Llada) -> Choices:
    """The row of the word."""
    confidence = {"low_confidence": probability, "random": chance}[word.remasking]
    return Choices(
        block_size=word.block_size,
        steps=word.steps,
        temperature=word.temperature,
        confidence=confidence,
        draws=word.draws_random_numbers(),
    )
