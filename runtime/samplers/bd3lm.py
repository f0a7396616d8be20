"""BD3LM: blocks counted from a row's first token, what is done kept in an exact cache (arXiv 2503.09573, algorithm 2)."""

from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler

from ..block_reader import Blocks
from . import Choices, guidance_of, proposal_of, sure_or_quota, whole


def build(word: Bd3lmSampler) -> Choices:
    """The row of the word."""
    size = word.block_size
    return Choices(
        block_size=size,
        from_origin=True,
        steps=word.steps,
        proposal=proposal_of(word),
        policy=sure_or_quota(word),
        reader=whole(size) if word.cache == "none" else lambda denoiser, ledger: Blocks(denoiser, ledger, size),
        guidance=guidance_of(word),
        never=word.suppress_tokens,
        not_first=word.begin_suppress_tokens,
        last=word.defer_tokens,
    )
