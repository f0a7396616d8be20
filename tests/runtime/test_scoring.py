"""Every estimator of a likelihood against the enumeration of all masks, and the service that batches and shares them."""

import dataclasses
import itertools
import json
import math
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_toys import StubDenoiser, subset_weight, tiny_llama

from dllm_run.runtime.batching import MOST_PADDING, batched
from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.journal import Journal
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.scoring import Estimate, Scorer, Text, total_error
from dllm_run.specs.vocabulary.likelihoods import Likelihood
from dllm_run.specs.vocabulary.likelihoods.bd3lm import BlockElbo
from dllm_run.specs.vocabulary.likelihoods.bernoulli import Bernoulli
from dllm_run.specs.vocabulary.likelihoods.chain_rule import ChainRule
from dllm_run.specs.vocabulary.likelihoods.elbo import Elbo

M = 3


def logits_of(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """Logits over {0, 1, 2} that depend on everything; the mask has none."""
    place = sum((index + 2) * (token + 1) for index, token in enumerate(seen))
    return (*(1.5 * math.sin(place * (token + 1) + position) for token in range(3)), -math.inf)


def nll(seen: tuple[int, ...], position: int, token: int, *, cfg: float = 0.0, prompt: int = 0) -> float:
    """-log p of a token where `seen` is what the model is shown, guided by the same without its prompt."""
    logits = [float(number) for number in logits_of(seen, position)[:3]]
    if cfg:
        alone = logits_of((*[M] * prompt, *seen[prompt:]), position)[:3]
        logits = [other + (1 + cfg) * (own - other) for own, other in zip(logits, alone, strict=True)]
    return math.log(sum(map(math.exp, logits))) - logits[token]


def under(tokens: tuple[int, ...], subset: tuple[int, ...], cfg: float, prompt: int) -> float:
    """The cross-entropy of the tokens of a subset, all of them masked."""
    seen = tuple(M if index in subset else token for index, token in enumerate(tokens))
    return sum(nll(seen, index, tokens[index], cfg=cfg, prompt=prompt) for index in subset)


def subsets(places: range) -> list[tuple[int, ...]]:
    return [subset for size in range(1, len(places) + 1) for subset in itertools.combinations(places, size)]


def elbo(tokens: tuple[int, ...], *, prompt: int = 0, cfg: float = 0.0) -> float:
    """Sum over all sets of masked tokens of the integral of (1/t) t^k (1-t)^(n-k) times the cross-entropy on them."""
    places = range(prompt, len(tokens))
    return sum(subset_weight(len(subset), len(places)) * under(tokens, subset, cfg, prompt) for subset in subsets(places))


def bernoulli(tokens: tuple[int, ...], *, epsilon: float, prompt: int = 0, tail: int = 0, cfg: float = 0.0) -> float:
    """The same with t between epsilon and 1, the integral by the midpoint rule."""
    places, steps = range(prompt, len(tokens) - tail), 4000
    times = [epsilon + (1 - epsilon) * (index + 0.5) / steps for index in range(steps)]
    total = 0.0
    for subset in subsets(places):
        k, n = len(subset), len(places)
        total += statistics.fmean(t ** (k - 1) * (1 - t) ** (n - k) for t in times) * under(tokens, subset, cfg, prompt)
    return total


def one_by_one(tokens: tuple[int, ...], *, prompt: int, cfg: float, backwards: bool) -> float:
    """The chain rule, written out."""
    order = list(range(prompt, len(tokens)))
    order = order[::-1] if backwards else order
    total = 0.0
    for turn, index in enumerate(order):
        seen = tuple(M if place in order[turn:] else token for place, token in enumerate(tokens))
        total += nll(seen, index, tokens[index], cfg=cfg, prompt=prompt)
    return total


def in_blocks(tokens: tuple[int, ...], size: int, prompt: int) -> float:
    """For every block the enumeration of its masks, the blocks before it clean and those after it out of sight."""
    total = 0.0
    for start in range(0, len(tokens), size):
        seen = tokens[: start + size]
        places = range(max(start, prompt), len(seen))
        total += sum(subset_weight(len(subset), len(places)) * under(seen, subset, 0.0, 0) for subset in subsets(places))
    return total


def scorer(word: Likelihood, *, seed: int = 0, batch: int = 64, folder: Path | None = None, denoiser: Any = None) -> Scorer:
    return Scorer(
        denoiser=denoiser or StubDenoiser(logits_of, mask_token=M),
        estimator=build(word),
        stream=Stream(seed, "likelihood"),
        batch=batch,
        journal=Journal(folder).open(),
    )


def close(found: Estimate, expected: float) -> bool:
    return found.error is not None and abs(found.nll - expected) < 4 * found.error + 1e-9


TOKENS = [((0, 1, 2), 0), ((2, 2, 0, 1), 1), ((1, 0, 0, 2, 2), 2), ((1, 2, 1, 0, 2, 0), 1)]


@pytest.mark.parametrize("cfg", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("tokens", "prompt"), TOKENS, ids=str)
def test_few_tokens_are_scored_exactly_with_every_mask_once(tokens: tuple[int, ...], prompt: int, cfg: float) -> None:
    [found] = scorer(Elbo(samples=31, cfg_scale=cfg)).score([Text(tokens=tokens, id=17, prompt=prompt)])
    assert found.nll == pytest.approx(elbo(tokens, prompt=prompt, cfg=cfg), abs=1e-12)
    assert (found.error, found.draws) == (0.0, 2 ** (len(tokens) - prompt) - 1)


@pytest.mark.parametrize("cfg", [0.0, 0.5])
@pytest.mark.parametrize("sampling", ["stratified", "uniform"])
def test_more_tokens_than_masks_are_right_in_the_mean(sampling: str, cfg: float) -> None:
    tokens = (2, 1, 0, 0, 2, 1, 1)
    expected = elbo(tokens, prompt=1, cfg=cfg)
    word = Elbo(samples=40, time_sampling=sampling, cfg_scale=cfg)
    found = [scorer(word, seed=seed).score([Text(tokens=tokens, id=3, prompt=1)])[0] for seed in range(60)]
    assert {one.draws for one in found} == {40}
    assert abs(statistics.fmean(one.nll for one in found) - expected) < 4 * statistics.stdev(one.nll for one in found) / math.sqrt(60)


def test_strata_of_the_share_lower_the_spread() -> None:
    def sure(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
        return (8.0 - seen.count(M), 0.0, 0.0, -math.inf)

    text = Text(tokens=(0,) * 8, id=3)
    spread = {}
    for sampling in ("stratified", "uniform"):
        denoiser, word = StubDenoiser(sure, mask_token=M), Elbo(samples=16, time_sampling=sampling)
        spread[sampling] = statistics.stdev(scorer(word, seed=seed, denoiser=denoiser).score([text])[0].nll for seed in range(50))
    assert spread["stratified"] < 0.5 * spread["uniform"]


@pytest.mark.parametrize("cfg", [0.0, 1.0])
@pytest.mark.parametrize(("tokens", "prompt", "tail"), [((0, 1, 2), 0, 0), ((2, 2, 0, 1), 1, 0), ((1, 0, 2, 2, 0), 1, 1)], ids=str)
def test_coins_equal_the_integral_over_their_times(tokens: tuple[int, ...], prompt: int, tail: int, cfg: float) -> None:
    word = Bernoulli(samples=3000, time_epsilon=0.05, cfg_scale=cfg)
    [found] = scorer(word, batch=3000).score([Text(tokens=tokens, id=4, prompt=prompt, tail=tail)])
    assert close(found, bernoulli(tokens, epsilon=0.05, prompt=prompt, tail=tail, cfg=cfg))


@pytest.mark.parametrize("cfg", [0.0, 0.7])
@pytest.mark.parametrize("order", ["left_to_right", "right_to_left"])
def test_the_chain_rule_is_exact_and_a_probability(order: str, cfg: float) -> None:
    texts = [Text(tokens=(1, *rest), id=0, prompt=1) for rest in itertools.product(range(3), repeat=3)]
    found = scorer(ChainRule(order=order, cfg_scale=cfg)).score(texts)
    for text, one in zip(texts, found, strict=True):
        expected = one_by_one(text.tokens, prompt=1, cfg=cfg, backwards=order == "right_to_left")
        assert one == Estimate(pytest.approx(expected, abs=1e-12), 0.0, 3)
    assert math.fsum(math.exp(-one.nll) for one in found) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("size", [2, 3])
def test_the_bound_of_blocks_equals_the_enumeration_in_every_block(size: int) -> None:
    tokens = (2, 1, 0, 0, 2, 1)
    [found] = scorer(BlockElbo(block_size=size, samples=3000), batch=3000).score([Text(tokens=tokens, id=5, prompt=1)])
    assert close(found, in_blocks(tokens, size, 1)) and found.draws == 3000


def test_blocks_of_one_token_are_exact_in_one_row() -> None:
    texts = [Text(tokens=(0, *rest), id=0, prompt=1) for rest in itertools.product(range(3), repeat=3)]
    found = scorer(BlockElbo(block_size=1)).score(texts)
    assert all((one.error, one.draws) == (0.0, 1) for one in found)
    assert [one.nll for one in found] == pytest.approx([in_blocks(text.tokens, 1, 1) for text in texts], abs=1e-12)
    assert math.fsum(math.exp(-one.nll) for one in found) == pytest.approx(1.0, abs=1e-9)


# --- the stop rule


def test_draws_go_on_until_the_error_is_small_enough_and_no_longer() -> None:
    texts = [Text(tokens=(2, 1, 0, 0, 2, 1, 1, index), id=index) for index in range(3)]
    once = scorer(Elbo(samples=16)).score(texts)
    found = scorer(Elbo(samples=16, error=0.12, rounds=400)).score(texts)
    for first, one in zip(once, found, strict=True):
        assert first.error is not None and first.error > 0.12
        assert one.error is not None and one.error <= 0.12 and one.draws % 16 == 0
        shorter = first.error * math.sqrt(16 / one.draws)
        assert 0.5 < one.error / shorter < 2, "draws are about as many as the error of the first round asks for"


def test_a_text_that_is_sure_enough_is_drawn_no_more_and_the_rounds_have_an_end() -> None:
    flat = StubDenoiser(lambda seen, position: (0.0, 0.0, 0.0, -math.inf), mask_token=M)
    texts = [Text(tokens=(0,) * 8, id=1)]
    [sure] = scorer(Elbo(samples=8, error=1e-6, rounds=5), denoiser=flat).score(texts)
    assert (sure.draws, sure.nll) == (8, pytest.approx(8 * math.log(3)))
    [unsure] = scorer(Elbo(samples=8, error=1e-6, rounds=5)).score(texts)
    assert unsure.draws == 40 and unsure.error is not None and unsure.error > 1e-6


def test_a_single_mask_has_no_error_to_report() -> None:
    [found] = scorer(Elbo(samples=1)).score([Text(tokens=(0, 1, 2), id=4)])
    assert found.error is None and math.isfinite(found.nll)
    assert total_error([found, Estimate(1.0, 3.0, 2)]) is None
    assert total_error([Estimate(1.0, 3.0, 2), Estimate(1.0, 4.0, 2)]) == 5.0


def test_two_reported_errors_hold_the_true_bound_in_about_19_of_20_seeds() -> None:
    text = Text(tokens=(0, 1, 2, 2, 1, 0), id=4)
    expected = elbo(text.tokens)
    found = [scorer(Elbo(samples=32, time_sampling="uniform"), seed=seed).score([text])[0] for seed in range(300)]
    inside = sum(one.error is not None and abs(one.nll - expected) < 2 * one.error for one in found)
    assert 0.90 < inside / 300 < 0.99


def test_a_text_of_which_nothing_is_scored_costs_nothing() -> None:
    made = scorer(Elbo())
    assert made.score([Text(tokens=(1, 2), id=0, prompt=2)]) == [Estimate(0.0, 0.0, 0)]
    assert made.denoiser.body_passes == 0


# --- what a number does not hang on

MIXED = [
    Text(tokens=(0, 1, 2, 2, 0, 1, 1), id=5),
    Text(tokens=(2,), id=6),
    Text(tokens=(1, 1, 0, 2, 2, 0, 1, 0), id=7, prompt=2),
    Text(tokens=(0, 0, 1, 1, 2, 1, 2), id=8, tail=1),
]
WORDS = [
    Elbo(samples=12),
    Elbo(samples=12, error=0.3, rounds=4),
    Elbo(samples=12, cfg_scale=0.5),
    Bernoulli(samples=12),
    ChainRule(),
    BlockElbo(block_size=2, samples=6),
]


@pytest.mark.parametrize("word", WORDS, ids=["elbo", "stopped", "guided", "bernoulli", "chain", "blocks"])
def test_batch_and_order_change_no_number(word: Likelihood) -> None:
    expected = scorer(word).score(MIXED)
    assert [scorer(word, batch=batch).score(MIXED) for batch in (1, 3, 1000)] == [expected] * 3
    order = [2, 0, 3, 1]
    assert scorer(word, batch=2).score([MIXED[index] for index in order]) == [expected[index] for index in order]
    assert [scorer(word).score([text])[0] for text in MIXED] == expected


@pytest.mark.parametrize("word", WORDS[:5], ids=["elbo", "stopped", "guided", "bernoulli", "chain"])
def test_a_real_models_numbers_change_by_rounding_only(word: Likelihood) -> None:
    denoiser, generator = tiny_llama(vocabulary=20), torch.Generator().manual_seed(1)
    texts = [
        Text(tokens=tuple(torch.randint(0, 19, (length,), generator=generator).tolist()), id=length, prompt=length // 4)
        for length in (3, 17, 8, 30, 11)
    ]
    alone = scorer(word, batch=1, denoiser=denoiser).score(texts)
    together = scorer(word, batch=16, denoiser=denoiser).score(texts)
    assert [one.nll for one in together] == pytest.approx([one.nll for one in alone], rel=1e-5)


def test_texts_with_one_id_share_their_masks_wherever_they_begin() -> None:
    """Choices of a question: the tokens of each are masked alike, so that the noise of a difference is small."""
    denoiser = StubDenoiser(logits_of, mask_token=M)
    answer = (0, 1, 2, 0, 1, 2, 0)
    short, long = Text(tokens=(1, *answer), id=9, prompt=1), Text(tokens=(2, 2, 1, *answer), id=9, prompt=3)
    scorer(Elbo(samples=20), denoiser=denoiser, batch=100).score([short, long])
    masks = {
        length: {tuple(token == M for token in seen[length - 7 :]) for seen, _ in denoiser.asked if len(seen) == length}
        for length in (8, 10)
    }
    assert masks[8] == masks[10] and len(masks[8]) > 10


def test_the_same_text_twice_is_computed_once() -> None:
    made = scorer(Elbo(samples=12))
    found = made.score([MIXED[0], MIXED[0]])
    assert found[0] == found[1]
    assert sum(made.denoiser.batches) == 12  # type: ignore[attr-defined]


def test_only_masked_tokens_reach_the_head() -> None:
    made = scorer(Elbo(samples=20), batch=20)
    made.score([Text(tokens=(0, 1, 2, 0, 1, 2), id=1, prompt=1)])
    # Strata spread the share evenly over (0, 1): about half of 5 tokens, 60 % with the rounding up, in 20 rows.
    assert 55 <= made.denoiser.head_rows <= 65


# --- batches


def test_batches_hold_every_row_once_within_the_budget_and_with_little_padding() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = [length for length in torch.randint(5, 400, (300,), generator=generator).tolist() for _ in range(8)]
    batches = batched(lengths, budget=16 * 400)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[index] for index in batch) <= 16 * 400 for batch in batches)
    assert sum(len(batch) * max(lengths[index] for index in batch) for batch in batches) <= MOST_PADDING * sum(lengths)
    firsts = [lengths[batch[0]] for batch in batches]
    assert firsts == sorted(firsts, reverse=True)
    # A budget that is used: no batch could take the rows of the next one too.
    assert len(batches) < 1.25 * sum(lengths) / (16 * 400) + 10


def test_a_row_above_the_budget_is_alone() -> None:
    assert batched([3, 10, 3], budget=6) == [[1], [0, 2]]
    assert batched([], budget=6) == []


def test_the_service_pads_no_more_than_a_twentieth() -> None:
    class Counting(Denoiser):
        def body(self, tokens_BL: Any, seen: Any) -> Any:
            counted.append((tokens_BL.numel(), int(seen.valid_BL.sum())))
            return super().body(tokens_BL, seen)

    counted: list[tuple[int, int]] = []
    denoiser = Counting(tiny_llama(vocabulary=20).network, mask_token=19)
    texts = [Text(tokens=tuple(range(length % 19)) * 4 or (1,), id=length) for length in range(4, 60)]
    scorer(Elbo(samples=4), denoiser=denoiser, batch=8).score(texts)
    assert sum(padded for padded, _ in counted) <= 1.05 * sum(real for _, real in counted)


# --- several processes, and a process that is killed


@pytest.mark.parametrize("word", WORDS, ids=["elbo", "stopped", "guided", "bernoulli", "chain", "blocks"])
def test_processes_that_share_the_batches_find_what_one_finds_to_the_last_bit(word: Likelihood, tmp_path: Path) -> None:
    alone = scorer(word, batch=2).score(MIXED)
    ranks = [scorer(word, batch=2) for _ in range(3)]
    found = in_turns(ranks, tmp_path)
    assert found == [alone] * 3
    computed = [sum(made.denoiser.batches) for made in ranks]  # type: ignore[attr-defined]
    assert sum(computed) == sum(in_one(word)) and min(computed) > 0, "every row is computed by one of them"


def in_one(word: Likelihood) -> list[int]:
    made = scorer(word, batch=2)
    made.score(MIXED)
    batches: list[int] = made.denoiser.batches  # type: ignore[attr-defined]
    return batches


def in_turns(ranks: list[Scorer], folder: Path) -> list[list[Estimate]]:
    """All ranks at once, in threads, with a barrier as processes have one."""
    barrier = threading.Barrier(len(ranks))

    def wait() -> None:
        barrier.wait(60)

    def one(rank: int) -> list[Estimate]:
        journal = Journal(folder, rank=rank, size=len(ranks), wait=wait).open()
        return dataclasses.replace(ranks[rank], journal=journal).score(MIXED)

    with ThreadPoolExecutor(len(ranks)) as pool:
        return list(pool.map(one, range(len(ranks))))


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("word", WORDS, ids=["elbo", "stopped", "guided", "bernoulli", "chain", "blocks"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_what_was_answered_before_a_kill_is_not_asked_again_and_the_numbers_are_the_same(
    word: Likelihood, after: int, tmp_path: Path
) -> None:
    class Dying(StubDenoiser):
        def body(self, *arguments: Any) -> Any:
            if self.body_passes == after:
                raise Killed
            return super().body(*arguments)

    with pytest.raises(Killed):
        scorer(word, batch=2, folder=tmp_path, denoiser=Dying(logits_of, mask_token=M)).score(MIXED)
    [file] = list(tmp_path.glob("*.jsonl")) or [None]
    if file is not None:
        with file.open("ab") as stream:
            stream.write(b'{"torn": 1.')
    again = scorer(word, batch=2, folder=tmp_path)
    assert again.score(MIXED) == scorer(word, batch=2).score(MIXED)
    guided = 2 if word == WORDS[2] else 1
    assert again.denoiser.body_passes == guided * len(in_one(word)) // guided - after // guided * guided


def test_a_journal_knows_what_other_numbers_of_processes_have_answered(tmp_path: Path) -> None:
    for rank in range(3):
        Journal(tmp_path, rank=rank, size=3).open().add({f"key {rank}": rank / 7})
    found = Journal(tmp_path).open()
    assert found.has(["key 0", "key 1", "key 2"]) and not found.has(["key 0", "key 3"])
    assert [found[f"key {rank}"] for rank in range(3)] == [0.0, 1 / 7, 2 / 7]
    assert [[index for index in range(7) if Journal(tmp_path, rank=rank, size=3).mine(index)] for rank in range(3)] == [
        [0, 3, 6],
        [1, 4],
        [2, 5],
    ]


def test_a_torn_line_is_mended_before_the_next_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path).open()
    journal.add({"a": 1})
    [file] = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'{"b": ')
    mended = Journal(tmp_path).open()
    mended.add({"c": "3"})
    assert [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] == [{"a": 1}, {"c": "3"}]
    assert not mended.has(["b"])
