"""Drawing tokens: the two-level inversion of the CDF against one cumulative sum in float64."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dllm_run.runtime.proposal import draw, propose

SIZES = [1, 5, 255, 256, 257, 512, 1000]


def some_logits(rows: int, size: int, *, holes: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    logits = 3 * torch.randn(rows, size, generator=generator)
    if holes and size > 1:
        logits[torch.rand(rows, size, generator=generator) < 0.6] = -math.inf
        logits[:, size // 2] = 1.0
    return logits


def inverted(logits_RV: Tensor, uniform_R: Tensor) -> list[int]:
    """The first token whose cumulative probability exceeds u."""
    weight = np.exp(logits_RV.double().numpy() - logits_RV.double().max(-1, keepdim=True).values.numpy())
    cumulative = np.cumsum(weight, axis=-1)
    return [
        int(np.searchsorted(row, float(u) * row[-1], side="right")) for row, u in zip(cumulative, uniform_R.double().tolist(), strict=True)
    ]


@pytest.mark.parametrize("holes", [False, True], ids=["all-possible", "most-impossible"])
@pytest.mark.parametrize("size", SIZES)
def test_draws_equal_the_inversion_of_one_cumulative_sum(size: int, holes: bool) -> None:
    logits = some_logits(4000, size, holes=holes)
    uniform = (torch.randint(0, 2**23, (4000,), generator=torch.Generator().manual_seed(1)) + 0.5) * 2.0**-23
    found, expected = draw(logits.clone(), uniform).tolist(), inverted(logits, uniform)
    differing = [row for row in range(4000) if found[row] != expected[row]]
    # float32 weights may move an edge of the CDF by 1e-7, never further than to the neighbour that can be drawn.
    assert len(differing) <= 4
    for row in differing:
        possible = [token for token in range(size) if logits[row, token] > -math.inf]
        assert abs(possible.index(found[row]) - possible.index(expected[row])) == 1


@pytest.mark.parametrize("size", [5, 257, 600])
def test_tokens_come_as_often_as_their_probability_says(size: int) -> None:
    count, logits = 50_000, some_logits(1, size)
    uniform = (torch.arange(count) + 0.5) / count
    found = torch.bincount(draw(logits.expand(count, -1).clone(), uniform), minlength=size)
    # With evenly spaced uniforms each count is its expectation to within one.
    expected = logits[0].double().softmax(-1) * count
    assert float((found - expected).abs().max()) < 1.1


SMALLEST, LARGEST = 2.0**-24, 1 - 2.0**-24


@pytest.mark.parametrize("u", [0.0, SMALLEST, LARGEST], ids=["zero", "smallest", "largest"])
@pytest.mark.parametrize("size", [5, 256, 257, 1000])
def test_no_uniform_picks_a_token_of_probability_zero(size: int, u: float) -> None:
    for first, last in ((0, 1), (1, 2), (size // 2, size // 2 + 1), (size - 2, size), (1, size - 1)):
        logits = torch.full((1, size), -math.inf)
        logits[0, first:last] = torch.linspace(-2, 2, last - first)
        token = int(draw(logits.clone(), torch.tensor([u])))
        assert first <= token < last
        if u == SMALLEST:
            assert token == first
        if u == LARGEST:
            assert token == last - 1


def test_a_draw_at_the_very_edge_of_a_chunk_stays_on_a_possible_token() -> None:
    # The sum of 256 weights and their cumulative sum may round differently: a target between the two is past every token.
    logits = torch.randn(4000, 512, generator=torch.Generator().manual_seed(0)) * 15
    logits[:, 240:260] = -math.inf
    weight = (logits - logits.max(-1, keepdim=True).values).exp()
    first, total = weight[:, :256].sum(-1, dtype=torch.float64), weight.view(-1, 2, 256).sum(-1, dtype=torch.float64).cumsum(-1)[:, -1]
    edge = torch.nextafter(first / total, torch.zeros(()).double())
    found = draw(logits, edge)
    assert bool(logits.gather(-1, found[:, None]).isfinite().all())


def test_the_most_probable_token_is_proposed_at_temperature_0_with_its_log_probability() -> None:
    logits = some_logits(50, 300)
    token, logp = propose(logits, None, 0.0)
    assert token.tolist() == logits.argmax(-1).tolist()
    torch.testing.assert_close(logp, logits.log_softmax(-1).max(-1).values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_draws_are_tempered_and_log_probabilities_are_not(temperature: float) -> None:
    logits, uniform = some_logits(500, 300), torch.linspace(0.001, 0.999, 500)
    token, logp = propose(logits.clone(), uniform, temperature)
    assert token.tolist() == inverted(logits / temperature, uniform)
    torch.testing.assert_close(logp, logits.log_softmax(-1).gather(-1, token[:, None])[:, 0], rtol=1e-5, atol=1e-5)


def test_proposing_leaves_the_logits_as_they_were() -> None:
    logits = some_logits(5, 300)
    before = logits.clone()
    propose(logits, torch.full((5,), 0.5), 1.0)
    assert torch.equal(logits, before)


def test_a_draw_without_random_numbers_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="a draw needs random numbers"):
        propose(some_logits(2, 5), None, 0.7)
