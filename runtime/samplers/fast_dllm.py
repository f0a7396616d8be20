"""Fast-dLLM: as many tokens as are sure enough, block by block, and caches that are refreshed now and then (arXiv 2505.22618)."""

from dllm_run.specs.vocabulary.samplers.fast_dllm import FastDllm

from ..window_reader import Windows
from . import Choices, guidance_of, proposal_of, sure_or_quota, whole


def build(word: FastDllm) -> Choices:
    """The row of the word."""
    return Choices(
        block_size=word.block_size,
        steps=word.steps,
        proposal=proposal_of(word),
        policy=sure_or_quota(word),
        reader=whole() if word.cache == "none" else lambda denoiser, ledger: Windows(denoiser, ledger, word.cache, word.refresh),
        guidance=guidance_of(word),
        never=word.suppress_tokens,
        not_first=word.begin_suppress_tokens,
        last=word.defer_tokens,
    )
