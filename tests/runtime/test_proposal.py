"""Drawing tokens: the two-level inversion of the CDF against one cumulative sum in float64."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dllm_run.runtime.proposal import Proposal, propose
from dllm_run.runtime.proposal import draw as draw_place

SIZES = [1, 5, 255, 256, 257, 512, 1000]


def draw(logits_RV: Tensor, uniform_R: Tensor) -> Tensor:
    return draw_place((logits_RV - logits_RV.max(-1, keepdim=True).values).exp(), uniform_R)[0]


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
    found = propose(logits.clone(), None, Proposal(temperature=0))
    assert found.token_R.tolist() == logits.argmax(-1).tolist() and found.edge_R is None
    torch.testing.assert_close(found.logp_R, logits.log_softmax(-1).max(-1).values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.own_logp_R, found.logp_R)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_draws_are_tempered_and_log_probabilities_are_not(temperature: float) -> None:
    logits, uniform = some_logits(500, 300), torch.linspace(0.001, 0.999, 500)
    found = propose(logits.clone(), uniform, Proposal(temperature=temperature))
    assert found.token_R.tolist() == inverted(logits / temperature, uniform)
    at = found.token_R[:, None]
    torch.testing.assert_close(found.logp_R, logits.log_softmax(-1).gather(-1, at)[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.own_logp_R, (logits / temperature).log_softmax(-1).gather(-1, at)[:, 0], rtol=1e-5, atol=1e-5)


def left_over(logits: list[float], how: Proposal) -> list[float]:
    """Probabilities after the filters, one row in plain Python: sorted, summed up, cut off, and shared out anew."""
    temperature = how.temperature or 1
    weight = [math.exp((value - max(logits)) / temperature) for value in logits]
    order = sorted(range(len(logits)), key=lambda token: -weight[token])
    kept: list[int] = []
    for token in order[: how.top_k]:
        if how.top_p is not None and kept and sum(weight[other] for other in kept) >= how.top_p * sum(weight):
            break
        kept.append(token)
    return [weight[token] / sum(weight[other] for other in kept) if token in kept else 0.0 for token in range(len(logits))]


FILTERS = {
    "top-k": Proposal(temperature=1, top_k=7),
    "top-k-of-all": Proposal(temperature=1, top_k=4000),
    "top-k-of-one": Proposal(temperature=1, top_k=1),
    "top-p": Proposal(temperature=1, top_p=0.6),
    "top-p-of-a-wide-choice": Proposal(temperature=3, top_p=0.97),
    "top-p-of-almost-nothing": Proposal(temperature=1, top_p=1e-6),
    "both": Proposal(temperature=0.7, top_k=12, top_p=0.8),
    "both-greedy": Proposal(temperature=0, top_k=12, top_p=0.8),
}


@pytest.mark.parametrize("how", FILTERS.values(), ids=FILTERS)
def test_filters_leave_what_sorting_and_summing_leaves(how: Proposal) -> None:
    logits, uniform = some_logits(40, 1500), torch.linspace(0.001, 0.999, 40)
    found = propose(logits.clone(), uniform, how)
    for row, values in enumerate(logits.double().tolist()):
        expected = left_over(values, how)
        token = int(found.token_R[row])
        if how.temperature == 0:
            assert token == max(range(1500), key=lambda index: values[index])
        else:
            cumulative = np.cumsum(expected)
            assert token == int(np.searchsorted(cumulative, float(uniform[row]) * cumulative[-1], side="right"))
        assert float(found.own_logp_R[row]) == pytest.approx(math.log(expected[token]), abs=1e-4)
        positive = sorted((value for value in expected if value), reverse=True)
        assert float(found.own.entropy_R()[row]) == pytest.approx(-sum(value * math.log(value) for value in positive), abs=1e-4)
        assert float(found.own.margin_R()[row]) == pytest.approx(positive[0] - (positive[1] if len(positive) > 1 else 0), abs=1e-4)


def test_entropies_and_margins_of_the_model_leave_nothing_out() -> None:
    logits = some_logits(40, 300)
    logits[:, 3] = -math.inf
    found = propose(logits.clone(), torch.full((40,), 0.5), Proposal(temperature=0.5, top_k=3)).model
    p = logits.double().softmax(-1)
    torch.testing.assert_close(found.entropy_R().double(), -torch.xlogy(p, p).sum(-1), rtol=1e-5, atol=1e-5)
    first = p.sort(-1, descending=True).values
    torch.testing.assert_close(found.margin_R().double(), first[:, 0] - first[:, 1], rtol=1e-5, atol=1e-6)


def test_the_edge_of_a_draw_is_how_far_another_uniform_would_have_to_go() -> None:
    logits = some_logits(300, 600)
    uniform = (torch.arange(300) + 0.5) / 300
    found = propose(logits.clone(), uniform, Proposal(temperature=1))
    assert found.edge_R is not None
    for step, changes in ((0.9, False), (1.1, True)):
        moved = [
            propose(logits.clone(), (uniform + sign * step * found.edge_R).clamp(0, 1).float(), Proposal(temperature=1)) for sign in (-1, 1)
        ]
        differs = (moved[0].token_R != found.token_R) | (moved[1].token_R != found.token_R)
        at_an_end = (found.edge_R >= uniform - 1e-6) | (found.edge_R >= 1 - uniform - 1e-6)
        wide = (found.edge_R > 1e-5) & ~at_an_end
        assert wide.sum() > 200 and bool((differs[wide] == changes).all())


def test_a_draw_without_random_numbers_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="a draw needs random numbers"):
        propose(some_logits(2, 5), None, Proposal(temperature=0.7))
