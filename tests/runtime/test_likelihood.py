"""The Monte Carlo bound against the enumeration of every mask."""

import itertools
import math
import statistics
from typing import Any

import pytest
import torch
from runtime_toys import StubDenoiser, subset_weight, tiny_llama

from dllm_run.runtime.likelihood import Bound, Scored, averaged, whole_rows
from dllm_run.runtime.noise import Stream

M = 3


def elbo(denoiser: Any, items: list[Scored], *, across: bool = False, progress: Any = None, **options: Any) -> list[Bound]:
    return averaged(whole_rows, denoiser, items, across=across, progress=progress, **options)


def logits_of(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """Logits over {0, 1, 2} that depend on everything; the mask has none."""
    place = sum((index + 2) * (token + 1) for index, token in enumerate(seen))
    return (*(1.5 * math.sin(place * (token + 1) + position) for token in range(3)), -math.inf)


def enumerated(tokens: tuple[int, ...], prompt: int = 0) -> float:
    """Sum over masked sets S of B(k, n-k+1) times the cross-entropy on S: the exact bound for n scored tokens."""
    places, total = range(prompt, len(tokens)), 0.0
    for size in range(1, len(places) + 1):
        for subset in itertools.combinations(places, size):
            seen = tuple(M if index in subset else token for index, token in enumerate(tokens))
            for index in subset:
                logits = logits_of(seen, index)
                nll = math.log(sum(map(math.exp, logits))) - logits[tokens[index]]
                total += subset_weight(size, len(places)) * nll
    return total


def stub() -> StubDenoiser:
    return StubDenoiser(logits_of, mask_token=M)


def bounds(items: list[Scored], *, seed: int = 0, samples: int = 64, batch: int = 64, across: bool = False) -> list[Bound]:
    return elbo(stub(), items, stream=Stream(seed, "likelihood"), samples=samples, batch=batch, across=across)


TOKENS = [(0, 1, 2), (2, 2, 0), (1, 0, 0), (1, 2, 1)]


@pytest.mark.parametrize("tokens", TOKENS, ids=str)
def test_the_bound_equals_the_enumeration_of_all_masks(tokens: tuple[int, ...]) -> None:
    [found] = bounds([Scored(tokens=list(tokens), id=17)], samples=6000, batch=2000)
    assert 0 < found.error < 0.25
    assert abs(found.nll - enumerated(tokens)) < 4 * found.error


def test_two_reported_errors_hold_the_true_bound_in_about_19_of_20_seeds() -> None:
    found = [bounds([Scored(tokens=[0, 1, 2], id=4)], seed=seed, samples=32)[0] for seed in range(400)]
    inside = sum(abs(bound.nll - enumerated((0, 1, 2))) < 2 * bound.error for bound in found)
    closely = sum(abs(bound.nll - enumerated((0, 1, 2))) < bound.error for bound in found)
    assert 0.90 < inside / 400 < 0.99
    assert 0.60 < closely / 400 < 0.85


def test_a_single_mask_has_no_error_to_report() -> None:
    [found] = bounds([Scored(tokens=[0, 1, 2], id=4)], samples=1)
    assert math.isnan(found.error) and math.isfinite(found.nll)


MIXED = [
    Scored(tokens=[0, 1, 2], id=5),
    Scored(tokens=[2], id=6),
    Scored(tokens=[1, 1, 0, 2, 2], id=7, prompt=2),
    Scored(tokens=[0, 0], id=8),
]


@pytest.mark.parametrize("batch", [1, 3, 7, 1000])
def test_the_batch_changes_no_number(batch: int) -> None:
    assert bounds(MIXED, samples=16, batch=batch) == bounds(MIXED, samples=16, batch=64)


def test_the_order_of_sequences_changes_no_number() -> None:
    order = [2, 0, 3, 1]
    assert bounds([MIXED[index] for index in order], samples=16) == [bounds(MIXED, samples=16)[index] for index in order]


def test_batch_and_order_change_a_real_models_numbers_by_rounding_only() -> None:
    denoiser, generator = tiny_llama(vocabulary=20), torch.Generator().manual_seed(1)
    items = [
        Scored(tokens=torch.randint(0, 19, (length,), generator=generator).tolist(), id=length, prompt=length // 4)
        for length in (3, 17, 8, 30, 11)
    ]

    def found(order: list[int], batch: int) -> list[float]:
        chosen = [items[index] for index in order]
        return [bound.nll for bound in elbo(denoiser, chosen, stream=Stream(0, "x"), samples=8, batch=batch)]

    alone, together = found([0, 1, 2, 3, 4], 1), found([3, 1, 4, 0, 2], 16)
    assert [together[place] for place in (3, 1, 4, 0, 2)] == pytest.approx(alone, rel=1e-5)


def test_prompt_tokens_are_seen_and_never_scored() -> None:
    denoiser = stub()
    item = Scored(tokens=[2, 0, 1, 2], id=3, prompt=2)
    [found] = elbo(denoiser, [item], stream=Stream(0, "likelihood"), samples=4000, batch=4000)
    assert {position for _, position in denoiser.asked} == {2, 3}
    assert all(seen[:2] == (2, 0) for seen, _ in denoiser.asked)
    assert abs(found.nll - enumerated((2, 0, 1, 2), prompt=2)) < 4 * found.error


def test_one_pass_scores_a_batch_and_only_masked_tokens_reach_the_head() -> None:
    denoiser = stub()
    elbo(denoiser, [Scored(tokens=[0, 1, 2], id=1)], stream=Stream(0, "x"), samples=10, batch=4)
    assert denoiser.batches == [4, 4, 2]
    # Stratified times spread evenly over (0, 1): about half of the 30 tokens are masked.
    assert 9 <= denoiser.head_rows <= 21


def test_long_sequences_come_first_so_that_a_batch_holds_equals() -> None:
    denoiser = stub()
    elbo(denoiser, [Scored(tokens=[0], id=1), Scored(tokens=[0, 1, 2], id=2)], stream=Stream(0, "x"), samples=8, batch=8)
    lengths = [len(seen) for seen, _ in denoiser.asked]
    assert lengths == sorted(lengths, reverse=True)


def test_progress_counts_every_mask() -> None:
    told: list[tuple[int, int]] = []
    elbo(
        stub(),
        [Scored(tokens=[0, 1], id=1), Scored(tokens=[1], id=2)],
        stream=Stream(0, "x"),
        samples=3,
        batch=4,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(4, 6), (6, 6)]


def test_times_across_sequences_fill_one_stratum_each() -> None:
    flat = StubDenoiser(lambda seen, position: (0.0, 0.0, 0.0, -math.inf), mask_token=M)
    items = [Scored(tokens=[0] * 400, id=index) for index in range(10)]
    elbo(flat, items, stream=Stream(0, "x"), samples=2, batch=20, across=True)
    masked = sorted(seen.count(M) for seen in {seen: None for seen, _ in flat.asked})
    # The i-th smallest share of masked tokens lies in stratum i of 20, up to the rounding to whole tokens.
    assert len(masked) == 20
    for index, count in enumerate(masked):
        assert index / 20 <= count / 400 <= (index + 1) / 20 + 1 / 400


def test_across_sequences_each_bound_is_right_in_the_mean_wherever_the_sequence_stands() -> None:
    items = [Scored(tokens=list(tokens), id=index) for index, tokens in enumerate(TOKENS)]
    found = [bounds(items, seed=seed, samples=1, across=True) for seed in range(2000)]
    for index, tokens in enumerate(TOKENS):
        values = [each[index].nll for each in found]
        assert abs(statistics.mean(values) - enumerated(tokens)) < 4.5 * statistics.stdev(values) / math.sqrt(len(values))
