"""Dream: one window, quotas, tokens ranked in the distribution that they are chosen from (arXiv 2508.15487)."""

from dllm_run.specs.vocabulary.samplers.dream import DreamSampler

from ..ranking import OF_CHOICE, Ranked
from . import Choices, guidance_of, proposal_of, quota, whole


def build(word: DreamSampler) -> Choices:
    """The row of the word."""
    return Choices(
        block_size=None,
        steps=word.steps,
        proposal=proposal_of(word),
        policy=Ranked(confidence=OF_CHOICE[word.remasking], rule=quota(word.schedule), random=word.remasking == "random"),
        reader=whole(),
        guidance=guidance_of(word),
        never=word.suppress_tokens,
        not_first=word.begin_suppress_tokens,
        last=word.defer_tokens,
    )
