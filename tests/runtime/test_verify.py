"""Comparing a cache with reading everything."""

import pytest
import torch
from runtime_toys import tiny_llama
from sampler_toys import CPU, continuation

from dllm_run.runtime.build import build
from dllm_run.runtime.marked import Marked
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.samplers import whole
from dllm_run.runtime.verify import Verified, verify
from dllm_run.specs.vocabulary.samplers import Sampler
from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler
from dllm_run.specs.vocabulary.samplers.fast_dllm import FastDllm

REQUESTS = [continuation([3, 1, 4, 1, 5], 12, 0), continuation([2], 12, 1), continuation([6, 5, 4], 8, 2)]


def verified(word: Sampler, block_size: int | None = None) -> Verified:
    denoiser, marked = tiny_llama(vocabulary=13), Marked.nothing(CPU)
    return verify(denoiser, REQUESTS, build(word), whole(block_size), Stream(1, "sample"), marked, pad=0)


def test_an_exact_cache_agrees_and_saves_reading() -> None:
    found = verified(Bd3lmSampler(block_size=4), 4)
    assert found.agreement == found.same_rows == 1 and found.divergence < 1e-8
    assert found.saved > 0.5 and found.query_tokens[0] < found.query_tokens[1]


@pytest.mark.parametrize("kind", ["prefix", "dual"])
def test_an_approximate_cache_is_told_from_an_exact_one(kind: str) -> None:
    found = verified(FastDllm(steps=12, block_size=4, cache=kind))
    assert found.divergence > 1e-4 and 0 < found.saved < 1
    fresh = verified(FastDllm(steps=12, block_size=4, cache=kind, refresh=1))
    assert fresh.agreement == 1 and fresh.divergence < 1e-8 and fresh.saved == 0


def test_the_divergence_is_that_of_the_two_distributions() -> None:
    """One window of two steps: at the first everything is read, at the second the cache is one token old."""
    denoiser, request = tiny_llama(vocabulary=13), continuation([3, 1, 4], 2, 0)
    choices = build(FastDllm(steps=2, block_size=2, cache="dual"))
    found = verify(denoiser, [request], choices, whole(), Stream(1, "sample"), Marked.nothing(CPU), pad=0)
    with torch.no_grad():
        body = denoiser.network.model
        before = torch.tensor([request.tokens])
        logits = denoiser.without_mask(denoiser.network.lm_head(body(before, use_cache=False, is_causal=False).last_hidden_state)[0, 3:])
        p = logits.softmax(-1)
        place = int(p.max(-1).values.argmax())
        after = before.clone()
        after[0, 3 + place] = int(p[place].argmax())
        other = 1 - place
        exact = denoiser.without_mask(
            denoiser.network.lm_head(body(after, use_cache=False, is_causal=False).last_hidden_state)[:, 3 + other]
        )
        from transformers.cache_utils import DynamicCache

        cache = DynamicCache()
        body(before, past_key_values=cache, use_cache=True, is_causal=False, attention_mask=torch.ones(1, 1, 5, 5, dtype=torch.bool))
        cache.crop(-2)
        frozen = body(
            after[:, 3:], past_key_values=cache, use_cache=True, is_causal=False,
            position_ids=torch.tensor([[3, 4]]), attention_mask=torch.ones(1, 1, 2, 5, dtype=torch.bool),
        ).last_hidden_state  # fmt: skip
        approximate = denoiser.without_mask(denoiser.network.lm_head(frozen)[:, other])
    q, r = exact.log_softmax(-1)[0, :-1], approximate.log_softmax(-1)[0, :-1]
    expected = float((q.exp() * (q - r)).sum())
    assert found.divergence == pytest.approx(expected / 3, rel=1e-3), "two positions at the first step add nothing, one at the second"
