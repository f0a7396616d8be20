"""LLaDA: even quotas, most confident first, block by block (arXiv 2502.09992, algorithm 5)."""

from dllm_run.specs.vocabulary.samplers.llada import Llada

from ..ranking import OF_MODEL, Ranked
from . import Choices, guidance_of, proposal_of, quota, whole


def build(word: Llada) -> Choices:
    """The row of the word."""
    return Choices(
        block_size=word.block_size,
        steps=word.steps,
        proposal=proposal_of(word),
        policy=Ranked(confidence=OF_MODEL[word.remasking], rule=quota(word.schedule), random=word.remasking == "random"),
        reader=whole(),
        guidance=guidance_of(word),
        never=word.suppress_tokens,
        not_first=word.begin_suppress_tokens,
        last=word.defer_tokens,
    )
