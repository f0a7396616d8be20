"""Ancestral sampling and ReMDM against the chain of the papers, one row and one position at a time, in Python numbers."""

import bisect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from runtime_toys import StubDenoiser
from sampler_toys import CPU, RAGGED, REQUESTS, Given, M, V, chance_of, logits_of, tokens_of

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Decoded, Reveal, decode
from dllm_run.runtime.noise import Stream
from dllm_run.specs.vocabulary.revealing import Revealing
from dllm_run.specs.vocabulary.samplers.ancestral import Ancestral
from dllm_run.specs.vocabulary.samplers.remdm import Remdm
from dllm_run.specs.vocabulary.schedules.cosine import Cosine


@dataclass
class Row:
    tokens: list[int]
    step: list[int]
    asked: int = 0
    readings: list[int] = field(default_factory=list)
    """Steps that read the row."""


def alpha_of(word: Revealing, t: float) -> float:
    def plain(t: float) -> float:
        return 1 - math.cos(math.pi / 2 * (1 - t)) if isinstance(word.schedule, Cosine) else 1 - t

    if not isinstance(word, Remdm) or word.revision != "loop":
        return plain(t)
    if t > word.loop_start:
        return word.loop_alpha * plain((t - word.loop_start) / (1 - word.loop_start))
    if t > word.loop_end:
        return word.loop_alpha
    return word.loop_alpha + (1 - word.loop_alpha) * plain(t / word.loop_end)


def sigmas(word: Revealing, t: float, s: float, probability: dict[int, float]) -> Callable[[int], float]:
    """sigma of a position; `probability` is that of the tokens which are there."""
    if not isinstance(word, Remdm):
        return lambda position: 0.0
    at, then = alpha_of(word, t), alpha_of(word, s)
    most = min(1.0, (1 - then) / at) if at > 0 else 1.0
    if word.revision == "cap":
        return lambda position: min(word.eta, most)
    if word.revision == "rescale":
        return lambda position: word.eta * most
    if word.revision == "loop":
        return lambda position: min(word.eta, most) if word.loop_end < t <= word.loop_start else 0.0
    total = sum(math.exp(-p) for p in probability.values())
    return lambda position: most * math.exp(-probability[position]) / total if position in probability else 0.0


def fill(request: Request, word: Revealing) -> Row:
    row = Row(list(request.tokens), [-1] * len(request.tokens))
    places = [position for position, token in enumerate(request.tokens) if token == M]
    steps = word.steps or len(places)
    probability: dict[int, float] = {}
    for step in range(steps):
        t, s = 1 - step / steps, max(0.0, 1 - (step + 1) / steps)
        at, then = alpha_of(word, t), alpha_of(word, s)
        sigma = sigmas(word, t, s, probability)
        masked = [position for position in places if row.tokens[position] == M]
        happens = {position: chance_of(request.id, step, position, 1) for position in places}
        shown = [position for position in masked if happens[position] < (then - (1 - sigma(position)) * at) / (1 - at)]
        hidden = [position for position in places if position not in masked and happens[position] < sigma(position)]
        if shown:
            row.readings.append(step)
        found = {}
        for position in shown:
            logits = logits_of(tuple(row.tokens), position)
            p = [math.exp(value - max(logits)) for value in logits]
            p = [value / math.fsum(p) for value in p]
            tempered = [value ** (1 / (word.temperature or 1)) for value in p]
            order = sorted(range(V), key=lambda token, p=tempered: -p[token])  # type: ignore[misc]
            kept: list[int] = []
            for token in order[: word.top_k]:
                if word.top_p is not None and kept and sum(tempered[other] for other in kept) >= word.top_p * sum(tempered):
                    break
                kept.append(token)
            cumulative = list(itertools.accumulate(tempered[token] if token in kept else 0.0 for token in range(V)))
            token = order[0]
            if word.temperature > 0:
                token = bisect.bisect_right(cumulative, chance_of(request.id, step, position, 0) * cumulative[-1])
            found[position] = token, p[token]
            row.asked += 1
        for position in hidden:
            row.tokens[position] = M
            del probability[position]
        for position, (token, p_token) in found.items():
            row.tokens[position], row.step[position], probability[position] = token, step, p_token
    return row


WORDS = {
    "ancestral": Ancestral(),
    "ancestral-greedy": Ancestral(temperature=0, steps=6),
    "ancestral-by-cosine": Ancestral(schedule=Cosine(), steps=12),
    "ancestral-in-many-steps": Ancestral(steps=200),
    "ancestral-in-one": Ancestral(steps=1),
    "ancestral-filtered": Ancestral(top_k=4, top_p=0.7, temperature=0.8),
    "cap": Remdm(eta=0.2, steps=30),
    "cap-that-is-too-large": Remdm(eta=1.0, steps=10),
    "rescale": Remdm(revision="rescale", eta=0.3, steps=20, top_p=None),
    "confidence": Remdm(revision="confidence", steps=20),
    "confidence-by-cosine": Remdm(revision="confidence", steps=20, schedule=Cosine()),
    "loop": Remdm(revision="loop", eta=0.3, steps=40),
    "loop-by-cosine": Remdm(revision="loop", eta=0.3, steps=40, schedule=Cosine(), loop_start=0.7, loop_end=0.3, loop_alpha=0.6),
    "remdm-in-one": Remdm(steps=1),
}


def run(requests: list[Request], word: Revealing, told: list[Reveal] | None = None) -> tuple[Decoded, StubDenoiser]:
    denoiser = StubDenoiser(logits_of, mask_token=M, dtype=torch.float64)
    canvas = lay_out(requests, mask_token=M, pad=0, device=CPU)
    watch = None if told is None else told.append
    return decode(denoiser, canvas, build(word), Given(), watch=watch), denoiser  # type: ignore[arg-type]


@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_a_batch_is_filled_as_one_row_after_the_other(word: Revealing, requests: list[Request]) -> None:
    found, denoiser = run(requests, word)
    expected = [fill(request, word) for request in requests]
    assert tokens_of(found, requests) == [row.tokens for row in expected]
    for index, row in enumerate(expected):
        assert found.step_BL[index, : len(row.step)].tolist() == row.step
        assert M not in row.tokens
    # Only what is about to be revealed is scored, and a step in which no row reveals anything costs no pass.
    assert denoiser.head_rows == found.ledger.head_rows == sum(row.asked for row in expected)
    assert found.ledger.passes == len({step for row in expected for step in row.readings})


@pytest.mark.parametrize("name", [name for name, word in WORDS.items() if isinstance(word, Remdm) and word.steps != 1])
def test_tokens_are_masked_again_and_written_anew(name: str) -> None:
    told: list[Reveal] = []
    found, _ = run(RAGGED, WORDS[name], told)
    hidden = sum(reveal.tokens.count(M) for reveal in told)
    assert hidden > 0
    assert sum(len(reveal.tokens) for reveal in told) == 2 * hidden + found.ledger.tokens


def test_with_no_chance_of_masking_again_remdm_is_ancestral_sampling() -> None:
    found, _ = run(RAGGED, Remdm(eta=1e-12, steps=20, top_p=None))
    plain, _ = run(RAGGED, Ancestral(steps=20))
    assert torch.equal(found.tokens_BL, plain.tokens_BL) and torch.equal(found.step_BL, plain.step_BL)


@pytest.mark.parametrize("schedule", [None, Cosine()], ids=["linear", "cosine"])
def test_a_position_is_revealed_when_the_schedule_says(schedule: Cosine | None) -> None:
    """The time of a token has the distribution P(revealed by step k) = alpha(1 - k / S): the chain adds up to its marginals."""
    steps, count = 8, 20_000
    word = Ancestral(steps=steps, temperature=0) if schedule is None else Ancestral(steps=steps, temperature=0, schedule=schedule)
    flat = StubDenoiser(lambda seen, position: (1.0, *([0.0] * (V - 2)), -math.inf), mask_token=M, dtype=torch.float32)
    flat.head = lambda hidden_RD: torch.zeros(len(hidden_RD), V).index_fill(1, torch.tensor([M]), -math.inf)  # type: ignore[method-assign]
    canvas = lay_out([Request(tokens=[M] * 100, id=index) for index in range(count // 100)], mask_token=M, pad=0, device=CPU)
    flat.body = lambda tokens_BL, seen: torch.zeros(*tokens_BL.shape, 1)  # type: ignore[method-assign]
    found = decode(flat, canvas, build(word), Stream(5, "sample"))  # type: ignore[arg-type]
    share = [float((found.step_BL <= step).float().mean()) for step in range(steps)]
    expected = [alpha_of(word, 1 - (step + 1) / steps) for step in range(steps)]
    for known, wanted in zip(share, expected, strict=True):
        assert abs(known - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / count) + 1e-9


def test_each_rule_of_remdm_makes_a_difference() -> None:
    rows = {name: [tuple(row) for row in tokens_of(run(RAGGED, replace(word, steps=30))[0], RAGGED)] for name, word in WORDS.items()}
    assert len({str(rows[name]) for name in ("cap", "rescale", "confidence", "loop")}) == 4
