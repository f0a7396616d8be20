"""Samplers that rank, each against one plain loop over one row at a time, in Python numbers."""

import bisect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from runtime_toys import StubDenoiser
from sampler_toys import CPU, REQUESTS, Given, M, V, chance_of, logits_of, tokens_of

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Decoded, decode
from dllm_run.runtime.marked import Marked
from dllm_run.specs.vocabulary.ranked import Ranking
from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler
from dllm_run.specs.vocabulary.samplers.dream import DreamSampler
from dllm_run.specs.vocabulary.samplers.fast_dllm import FastDllm
from dllm_run.specs.vocabulary.samplers.llada import Llada
from dllm_run.specs.vocabulary.schedules.cosine import Cosine

Count = Callable[[list[float], list[float], int, int], int]
"""(probabilities of the ranked tokens, entropies in that order, positions that the block had, its steps) -> how many are committed."""


@dataclass
class Plain:
    """A sampler as its paper tells it."""

    count: Count
    block_size: int | None = None
    from_origin: bool = False
    steps: int | None = None
    filtered: bool = False
    """Ranks by the distribution that tokens are chosen from."""
    left_to_right: bool = False
    never: frozenset[int] = frozenset()
    not_first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    stops: frozenset[int] = frozenset()
    keep: frozenset[int] = frozenset()


@dataclass
class Row:
    tokens: list[int]
    step: list[int]
    asked: int = 0
    passes: int = 0


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(value - max(values)) for value in values]
    return [weight / math.fsum(weights) for weight in weights]


def chosen_from(logits: list[float], word: Ranking) -> list[float]:
    """The tempered distribution, cut off at top_k and top_p."""
    p = softmax([value / (word.temperature or 1) for value in logits])
    order = sorted(range(V), key=lambda token: -p[token])
    kept: list[int] = []
    for token in order[: word.top_k]:
        if word.top_p is not None and kept and sum(p[other] for other in kept) >= word.top_p:
            break
        kept.append(token)
    return [p[token] / sum(p[other] for other in kept) if token in kept else 0.0 for token in range(V)]


def entropy(p: list[float]) -> float:
    return -math.fsum(value * math.log(value) for value in p if value)


def said(tokens: list[int], request: Request, position: int, end: int, word: Ranking, how: Plain) -> list[float]:
    """Logits as the denoiser and its guidance give them."""
    seen = tokens[:end] if how.left_to_right else tokens
    conditional = list(logits_of(tuple(seen), position))
    if word.cfg_scale:
        blind = [M if token != M and token == request.tokens[at] and token not in how.keep else token for at, token in enumerate(seen)]
        without = logits_of(tuple(blind), position)
        conditional = [
            u + (1 + word.cfg_scale) * (c - u) if token != M else -math.inf
            for token, (c, u) in enumerate(zip(conditional, without, strict=True))
        ]
    first = request.tokens.index(M)
    banned = how.never | (how.not_first if position == first else frozenset())
    return [-math.inf if token in banned else value for token, value in enumerate(conditional)]


def fill(request: Request, word: Ranking, how: Plain) -> Row:
    """Block after block, step after step."""
    row = Row(list(request.tokens), [-1] * len(request.tokens))
    opened = [position for position, token in enumerate(row.tokens) if token == M]
    size = how.block_size or len(row.tokens) + 1
    number = {position: max(0, position - (0 if how.from_origin else request.prompt)) // size for position in opened}
    before = 0
    for block in sorted(set(number.values())):
        places = [position for position in opened if number[position] == block]
        steps = len(places)
        if how.steps is not None:
            steps = how.steps * (before + len(places)) // len(opened) - how.steps * before // len(opened)
        before += len(places)
        end = min(len(row.tokens), (block + 1) * size)
        while masked := [position for position in places if row.tokens[position] == M]:
            found = []
            for position in masked:
                logits = said(row.tokens, request, position, end, word, how)
                p, own = softmax(logits), chosen_from(logits, word)
                token = max(range(V), key=lambda index: logits[index])
                if word.temperature > 0:
                    cumulative = list(itertools.accumulate(own))
                    token = bisect.bisect_right(cumulative, chance_of(request.id, row.passes, position, 0) * cumulative[-1])
                seen = own if how.filtered else p
                ranked = sorted(seen, reverse=True)
                rank = {
                    "low_confidence": seen[token],
                    "margin": ranked[0] - ranked[1],
                    "entropy": -entropy(seen),
                    "random": chance_of(request.id, row.passes, position, 1),
                }[word.remasking]
                # Among those that are put off the leftmost comes first.
                found.append((token in how.last, 0.0 if token in how.last else -rank, position, token, p[token], entropy(p)))
            found.sort(key=lambda item: item[:3])
            row.asked += len(masked)
            count = how.count([0.0 if item[0] else item[4] for item in found], [item[5] for item in found], len(places), steps)
            for _, _, position, token, _, _ in found[: max(1, min(count, len(masked)))]:
                row.tokens[position], row.step[position] = token, row.passes
            row.passes += 1
            if (over := ended(row.tokens, request, how)) is not None:
                for position in opened:
                    if row.tokens[position] == M:
                        row.tokens[position], row.step[position] = over, -2
                return row
    return row


def ended(tokens: list[int], request: Request, how: Plain) -> int | None:
    """The end of text, once one was written that has no mask before it."""
    for position, token in enumerate(tokens):
        if token == M:
            return None
        if request.ends and request.tokens[position] == M and token in how.stops:
            return min(how.stops)
    return None


def quota(p: list[float], entropies: list[float], positions: int, steps: int) -> int:
    """LLaDA's: the first `positions mod steps` steps take one more."""
    steps = max(1, min(steps, positions))
    plan = [positions // steps + (index < positions % steps) for index in range(steps)]
    return plan[list(itertools.accumulate([0, *plan])).index(positions - len(p))]


def cosine_quota(p: list[float], entropies: list[float], positions: int, steps: int) -> int:
    """round(left (alpha(s) - alpha(t)) / (1 - alpha(t))) with alpha(t) = 1 - cos(pi/2 (1 - t)); steps without any are left out."""
    steps = max(1, min(steps, positions))
    left, at = positions, [1 - math.cos(math.pi / 2 * step / steps) for step in range(steps + 1)]
    for step in range(steps):
        number = left if step == steps - 1 else min(left, round(left * (at[step + 1] - at[step]) / (1 - at[step])))
        if number and left == len(p):
            return number
        left -= number
    raise AssertionError("no step is left")


def above(bound: float) -> Count:
    return lambda p, entropies, positions, steps: sum(value > bound for value in p)


def within_factor(bound: float) -> Count:
    return lambda p, entropies, positions, steps: max([n for n in range(1, len(p) + 1) if (n + 1) * (1 - p[n - 1]) < bound], default=1)


def within_entropy(bound: float) -> Count:
    def count(p: list[float], entropies: list[float], positions: int, steps: int) -> int:
        return max([n for n in range(1, len(p) + 1) if sum(entropies[:n]) - max(entropies[:n]) <= bound], default=1)

    return count


CASES: dict[str, tuple[Ranking, Plain]] = {
    "llada-by-margin": (Llada(steps=4, remasking="margin"), Plain(quota, steps=4)),
    "llada-by-entropy": (Llada(steps=4, block_size=4, remasking="entropy"), Plain(quota, block_size=4, steps=4)),
    "llada-by-cosine": (Llada(steps=5, schedule=Cosine()), Plain(cosine_quota, steps=5)),
    "llada-filtered": (Llada(steps=4, temperature=1.3, top_k=4, top_p=0.8), Plain(quota, steps=4)),
    "llada-guided": (Llada(steps=4, cfg_scale=1.5), Plain(quota, steps=4)),
    "llada-guided-warm": (Llada(steps=3, cfg_scale=0.5, temperature=0.8), Plain(quota, steps=3)),
    "dream": (DreamSampler(), Plain(quota, filtered=True)),
    "dream-greedy": (DreamSampler(temperature=0, steps=3), Plain(quota, steps=3, filtered=True)),
    "dream-by-margin": (DreamSampler(remasking="margin", steps=4, temperature=1.0, top_p=0.7), Plain(quota, steps=4, filtered=True)),
    "dream-by-confidence": (DreamSampler(remasking="low_confidence", top_k=3, top_p=None), Plain(quota, filtered=True)),
    "dream-random": (DreamSampler(remasking="random", steps=4), Plain(quota, steps=4, filtered=True)),
    "bd3lm": (Bd3lmSampler(block_size=4, cache="none"), Plain(quota, 4, True, left_to_right=True)),
    "bd3lm-steps": (Bd3lmSampler(block_size=4, cache="none", steps=5), Plain(quota, 4, True, 5, left_to_right=True)),
    "bd3lm-one": (Bd3lmSampler(block_size=1, cache="none", temperature=1), Plain(quota, 1, True, left_to_right=True)),
    "bd3lm-wide": (Bd3lmSampler(block_size=50, cache="none", steps=3), Plain(quota, 50, True, 3, left_to_right=True)),
    "bd3lm-threshold": (Bd3lmSampler(block_size=4, cache="none", threshold=0.5), Plain(above(0.5), 4, True, left_to_right=True)),
    "bd3lm-guided": (Bd3lmSampler(block_size=4, cache="none", cfg_scale=1), Plain(quota, 4, True, left_to_right=True)),
    "fast-threshold": (FastDllm(threshold=0.6, block_size=4), Plain(above(0.6), 4)),
    "fast-threshold-warm": (FastDllm(threshold=0.3, block_size=4, temperature=0.7), Plain(above(0.3), 4)),
    "fast-factor": (FastDllm(factor=1.0, block_size=4), Plain(within_factor(1.0), 4)),
    "fast-entropy": (FastDllm(entropy_bound=0.6, block_size=None, remasking="entropy"), Plain(within_entropy(0.6))),
    "fast-entropy-by-confidence": (FastDllm(entropy_bound=0.6, block_size=None), Plain(within_entropy(0.6))),
    "fast-steps": (FastDllm(steps=4, block_size=4), Plain(quota, 4, steps=4)),
}


def run(requests: list[Request], word: Ranking, how: Plain) -> tuple[Decoded, StubDenoiser]:
    denoiser = StubDenoiser(logits_of, mask_token=M, dtype=torch.float64)
    canvas = lay_out(requests, mask_token=M, pad=0, device=CPU)
    marked = Marked(
        never_T=torch.tensor(sorted(how.never), dtype=torch.int64),
        not_first_T=torch.tensor(sorted(how.not_first), dtype=torch.int64),
        last_T=torch.tensor(sorted(how.last), dtype=torch.int64),
        kept_T=torch.tensor(sorted(how.keep), dtype=torch.int64),
        stops_T=torch.tensor(sorted(how.stops), dtype=torch.int64),
        fill=min(how.stops, default=0),
    )
    return decode(denoiser, canvas, build(word), Given(), marked=marked), denoiser  # type: ignore[arg-type]


def check(requests: list[Request], word: Ranking, how: Plain) -> list[Row]:
    found, denoiser = run(requests, word, how)
    expected = [fill(request, word, how) for request in requests]
    assert tokens_of(found, requests) == [row.tokens for row in expected]
    for index, (request, row) in enumerate(zip(requests, expected, strict=True)):
        assert found.step_BL[index, : len(request.tokens)].tolist() == row.step
    sides = 2 if word.cfg_scale else 1
    assert found.ledger.head_rows == denoiser.head_rows == sides * sum(row.asked for row in expected)
    assert found.ledger.passes == sides * max(row.passes for row in expected)
    return expected


@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_batch_is_filled_as_one_row_after_the_other(case: tuple[Ranking, Plain], requests: list[Request]) -> None:
    check(requests, *case)


@pytest.mark.parametrize("name", ["fast-threshold", "fast-factor", "fast-entropy", "bd3lm-threshold"])
def test_sure_tokens_are_committed_together_and_unsure_ones_alone(name: str) -> None:
    rows = check(REQUESTS["ragged-prompts"], *CASES[name])
    sizes = {row.step.count(step) for row in rows for step in row.step if step >= 0}
    assert 1 in sizes and max(sizes) > 1


# --- tokens that are kept out, put off, or end a row

APART = {
    "never": {"never": frozenset({0, 2, 5, 7, 9})},
    "not-first": {"not_first": frozenset(range(1, 11))},
    "last": {"last": frozenset(range(8))},
    "ends": {"stops": frozenset({2, 3, 6, 8})},
    "kept-from-guidance": {"keep": frozenset({1, 2, 3})},
}


@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("name", ["llada-by-entropy", "llada-guided", "bd3lm", "dream", "fast-threshold"])
@pytest.mark.parametrize("apart", APART.values(), ids=APART)
def test_tokens_that_are_treated_apart(apart: dict[str, frozenset[int]], name: str, requests: list[Request]) -> None:
    word, how = CASES[name]
    check([replace(request, ends=True) for request in requests], word, replace(how, **apart))


def test_each_way_of_treating_tokens_apart_makes_a_difference() -> None:
    word, how = Llada(steps=8, block_size=4, cfg_scale=1.5), Plain(quota, block_size=4, steps=8)
    requests = [replace(request, ends=True) for request in REQUESTS["ragged-prompts"]]
    plain = [fill(request, word, how).tokens for request in requests]
    for apart in APART.values():
        assert [fill(request, word, replace(how, **apart)).tokens for request in requests] != plain


@pytest.mark.parametrize("name", CASES)
def test_what_comes_before_the_end_is_the_same_without_stopping(name: str) -> None:
    word, how = CASES[name]
    stops = frozenset({2, 3, 6, 8})
    requests = [replace(request, ends=True) for request in REQUESTS["ragged-prompts"]]
    stopped, _ = run(requests, word, replace(how, stops=stops))
    whole, _ = run([replace(request, ends=False) for request in requests], word, replace(how, stops=stops))
    assert stopped.ledger.head_rows <= whole.ledger.head_rows
    if how.block_size == 4 and how.steps is None:
        assert stopped.ledger.head_rows < whole.ledger.head_rows
    for request, short, full in zip(requests, tokens_of(stopped, requests), tokens_of(whole, requests), strict=True):
        ends = [index for index in range(request.prompt, len(full)) if full[index] in stops]
        assert short[: ends[0] + 1 if ends else None] == full[: ends[0] + 1 if ends else None]
    written = sum(len(row) - request.prompt for row, request in zip(tokens_of(whole, requests), requests, strict=True))
    assert whole.ledger.tokens == written and whole.ledger.wasted == 0
    answered = sum(
        next((index for index, token in enumerate(row[request.prompt :], 1) if token in stops), len(row) - request.prompt)
        for row, request in zip(tokens_of(stopped, requests), requests, strict=True)
    )
    assert stopped.ledger.tokens == answered
    assert stopped.ledger.tokens + stopped.ledger.wasted == int((stopped.step_BL >= 0).sum())
