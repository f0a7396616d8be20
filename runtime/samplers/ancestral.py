"""Ancestral sampling: nothing is masked again (MDLM, arXiv 2406.07524, eq. 6)."""

from dllm_run.specs.vocabulary.samplers.ancestral import Ancestral

from ..build import build as built
from ..revealing import Revealing, plain
from . import Choices, guidance_of, proposal_of, whole


def build(word: Ancestral) -> Choices:
    """The row of the word."""
    return Choices(
        block_size=None,
        steps=word.steps,
        proposal=proposal_of(word),
        policy=Revealing(alphas=plain(built(word.schedule))),
        reader=whole(),
        guidance=guidance_of(word),
        never=word.suppress_tokens,
        not_first=word.begin_suppress_tokens,
    )
