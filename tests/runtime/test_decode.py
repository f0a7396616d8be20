"""The sampler engine against a plain loop over one row at a time."""

import bisect
import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from runtime_toys import StubDenoiser, tiny_llama
from sampler_toys import CPU, RAGGED, REQUESTS, UNEVEN, Given, M, V, chance_of, continuation, logits_of, run, tokens_of
from torch import Tensor

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Reveal, decode
from dllm_run.runtime.noise import Stream
from dllm_run.specs.vocabulary.samplers.llada import Llada


@dataclass
class Filled:
    tokens: list[int]
    step: list[int]
    probability: list[float]
    passes: int
    asked: int


def fill(request: Request, word: Llada, forbidden: tuple[int, ...] = ()) -> Filled:
    """LLaDA's sampling of one row, as the paper tells it (arXiv 2502.09992, algorithm 5, with blocks as in section 2.4)."""
    tokens, count = list(request.tokens), len(request.tokens)
    found = Filled(tokens, [-1] * count, [1.0] * count, 0, 0)
    blocks: dict[int, list[int]] = {}
    for position in range(count):
        if tokens[position] == M:
            blocks.setdefault(max(0, position - request.prompt) // (word.block_size or count + 1), []).append(position)
    total = sum(map(len, blocks.values()))
    before = 0
    for block in sorted(blocks):
        places = blocks[block]
        share = len(places)
        if word.steps is not None:
            # A block has as many of all steps as of all open positions, counted from the left.
            share = max(1, word.steps * (before + len(places)) // total - word.steps * before // total)
        steps, before = min(len(places), share), before + len(places)
        base, remainder = divmod(len(places), steps)
        for quota in [base + 1] * remainder + [base] * (steps - remainder):
            masked = [position for position in places if tokens[position] == M]
            proposals = []
            for position in masked:
                logits = [-math.inf if token in forbidden else value for token, value in enumerate(logits_of(tuple(tokens), position))]
                mass = math.fsum(map(math.exp, logits))
                token = max(range(V), key=lambda index: logits[index])
                if word.temperature > 0:
                    weights = [math.exp(value / word.temperature) for value in logits]
                    cumulative = list(itertools.accumulate(weights))
                    token = bisect.bisect_right(cumulative, chance_of(request.id, found.passes, position, 0) * cumulative[-1])
                probability = math.exp(logits[token]) / mass
                rank = probability if word.remasking == "low_confidence" else chance_of(request.id, found.passes, position, 1)
                proposals.append((-rank, position, token, probability))
            for _, position, token, probability in sorted(proposals)[:quota]:
                tokens[position], found.step[position], found.probability[position] = token, found.passes, probability
            found.passes += 1
            found.asked += len(masked)
    return found


WORDS = {
    "one-token-a-step": Llada(),
    "even-steps": Llada(steps=4),
    "uneven-steps": Llada(steps=3),
    "one-step": Llada(steps=1),
    "more-steps-than-tokens": Llada(steps=100),
    "blocks": Llada(block_size=4),
    "blocks-of-one": Llada(block_size=1),
    "blocks-with-steps": Llada(block_size=4, steps=4),
    "blocks-with-uneven-steps": Llada(block_size=4, steps=6),
    "blocks-that-do-not-divide": Llada(block_size=3, steps=6),
    "random-order": Llada(remasking="random", steps=4),
    "random-order-in-blocks": Llada(remasking="random", block_size=4, steps=4),
}


@pytest.mark.parametrize("temperature", [0.0, 0.7], ids=["greedy", "warm"])
@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_a_batch_is_filled_as_one_row_after_the_other(word: Llada, requests: list[Request], temperature: float) -> None:
    word = replace(word, temperature=temperature)
    found, denoiser = run(requests, word)
    expected = [fill(request, word) for request in requests]
    assert tokens_of(found, requests) == [row.tokens for row in expected]
    for row, (request, alone) in enumerate(zip(requests, expected, strict=True)):
        length = len(request.tokens)
        assert found.step_BL[row, :length].tolist() == alone.step
        assert found.probability_BL[row, :length].tolist() == pytest.approx(alone.probability, abs=1e-5)
    # A pass serves all rows; a row leaves when it is full; only open positions of the running block are scored.
    assert found.ledger.passes == denoiser.body_passes == max(alone.passes for alone in expected)
    assert found.ledger.head_rows == sum(alone.asked for alone in expected)
    assert denoiser.batches == [sum(alone.passes > step for alone in expected) for step in range(found.ledger.passes)]


def test_warm_draws_differ_from_the_greedy_ones() -> None:
    assert tokens_of(run(RAGGED, Llada())[0], RAGGED) != tokens_of(run(RAGGED, Llada(temperature=0.7))[0], RAGGED)


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_given_tokens_stay_and_no_mask_is_left(word: Llada) -> None:
    for requests in REQUESTS.values():
        for request, tokens in zip(requests, tokens_of(run(requests, word)[0], requests), strict=True):
            assert M not in tokens
            assert all(old in (M, new) for old, new in zip(request.tokens, tokens, strict=True))


@pytest.mark.parametrize(
    ("word", "prompt", "new", "passes"),
    [
        (Llada(), 3, 8, 8),
        (Llada(steps=8), 3, 8, 8),
        (Llada(steps=3), 3, 8, 3),
        (Llada(steps=4, block_size=2), 3, 8, 4),
        (Llada(steps=16, block_size=2), 3, 8, 8),
    ],
    ids=["one-a-step", "as-many-steps", "three-steps", "a-step-a-block", "never-more-than-tokens"],
)
def test_forward_passes_are_the_steps_of_the_word(word: Llada, prompt: int, new: int, passes: int) -> None:
    assert run([continuation(list(range(prompt)), new, 0)], word)[0].ledger.passes == passes


def test_the_first_steps_take_the_remainder() -> None:
    found, _ = run([continuation([1], 8, 0)], Llada(steps=3))
    assert [found.step_BL[0].tolist().count(step) for step in range(3)] == [3, 3, 2]


def test_blocks_start_where_the_prompt_ends() -> None:
    found, _ = run([continuation([1, 2, 3], 8, 0)], Llada(block_size=4))
    first, second = found.step_BL[0, 3:7].tolist(), found.step_BL[0, 7:].tolist()
    assert max(first) < min(second)


@pytest.mark.parametrize("word", [Llada(temperature=1.0), Llada(remasking="random", block_size=4)], ids=["warm", "random-order"])
def test_a_requests_tokens_depend_on_its_id_and_not_on_its_batch(word: Llada) -> None:
    stream = Stream(3, "sample")
    together = tokens_of(run(RAGGED, word, stream=stream)[0], RAGGED)
    order = [2, 0, 3, 1]
    shuffled = [RAGGED[index] for index in order]
    assert tokens_of(run(shuffled, word, stream=stream)[0], shuffled) == [together[index] for index in order]
    for request, tokens in zip(RAGGED, together, strict=True):
        assert tokens_of(run([request], word, stream=stream)[0], [request]) == [tokens]
    renamed = replace(RAGGED[0], id=999)
    assert tokens_of(run([renamed], Llada(temperature=1.0), stream=stream)[0], [renamed]) != [together[0]]


def test_a_real_models_tokens_do_not_depend_on_the_batch() -> None:
    denoiser = tiny_llama(vocabulary=V)

    def filled(requests: list[Request]) -> list[list[int]]:
        canvas = lay_out(requests, mask_token=M, pad=0, device=CPU)
        return tokens_of(decode(denoiser, canvas, build(Llada(temperature=0.8, steps=4)), Stream(0, "sample")), requests)

    assert filled(RAGGED) == [filled([request])[0] for request in RAGGED]


@pytest.mark.parametrize("temperature", [0.0, 2.0], ids=["greedy", "warm"])
def test_forbidden_tokens_are_never_written(temperature: float) -> None:
    forbidden = (0, 5, 6, 7, 11, M)
    word = Llada(temperature=temperature, steps=4)
    found, _ = run(RAGGED, word, forbidden=forbidden)
    expected = [fill(request, word, forbidden) for request in RAGGED]
    assert tokens_of(found, RAGGED) == [row.tokens for row in expected]
    for request, tokens in zip(RAGGED, tokens_of(found, RAGGED), strict=True):
        assert not set(tokens[request.prompt :]) & set(forbidden)
        assert max(found.probability_BL.flatten().tolist()) <= 1


@pytest.mark.parametrize("word", [Llada(), Llada(temperature=0.5), Llada(remasking="random")], ids=["greedy", "warm", "random-order"])
def test_a_row_with_one_possible_token_does_not_stall(word: Llada) -> None:
    only = tuple(0.0 if token == 4 else -math.inf for token in range(V))
    denoiser = StubDenoiser(lambda seen, position: only, mask_token=M, dtype=torch.float32)
    canvas = lay_out([continuation([1], 5, 0)], mask_token=M, pad=0, device=CPU)
    found = decode(denoiser, canvas, build(word), Stream(0, "sample"))  # type: ignore[arg-type]
    assert found.tokens_BL[0].tolist() == [1, 4, 4, 4, 4, 4]
    assert found.ledger.passes == 5


def test_of_equally_confident_positions_the_leftmost_is_first() -> None:
    denoiser = StubDenoiser(lambda seen, position: (*([0.0] * 4), 1.0, *([0.0] * 7), -math.inf), mask_token=M, dtype=torch.float32)
    canvas = lay_out([continuation([1], 6, 0)], mask_token=M, pad=0, device=CPU)
    found = decode(denoiser, canvas, build(Llada()), Stream(0, "sample"))  # type: ignore[arg-type]
    assert found.step_BL[0].tolist() == [-1, 0, 1, 2, 3, 4, 5]


def test_greedy_decoding_reads_no_random_numbers() -> None:
    class Untouchable(Stream):
        def uniform(self, *components: Tensor) -> Tensor:
            raise AssertionError("a greedy sampler has no use for random numbers")

    run(RAGGED, Llada(steps=4), stream=Untouchable(0, "sample"))


def test_a_canvas_without_masks_is_returned_as_it_is() -> None:
    found, _ = run([Request(tokens=[1, 2, 3], id=0)], Llada())
    assert found.tokens_BL.tolist() == [[1, 2, 3]] and found.ledger.passes == 0 and found.ledger.head_rows == 0


def test_whoever_watches_is_told_every_token_once() -> None:
    told: list[Reveal] = []
    denoiser = StubDenoiser(logits_of, mask_token=M, dtype=torch.float32)
    canvas = lay_out(UNEVEN, mask_token=M, pad=0, device=CPU)
    found = decode(denoiser, canvas, build(Llada(steps=3)), Given(), watch=told.append)  # type: ignore[arg-type]
    places = [(row, column) for reveal in told for row, column in zip(reveal.rows, reveal.columns, strict=True)]
    assert sorted(places) == [tuple(place) for place in canvas.open_BL.nonzero().tolist()]
    for reveal in told:
        for index, (row, column) in enumerate(zip(reveal.rows, reveal.columns, strict=True)):
            token, probability = reveal.tokens[index], reveal.probability[index]
            assert token == int(found.tokens_BL[row, column])
            assert reveal.step[index] == int(found.step_BL[row, column])
            assert probability == pytest.approx(float(found.probability_BL[row, column]))


def test_a_column_of_a_canvas_is_a_position() -> None:
    canvas = lay_out([continuation([1, 2], 2, 7), continuation([3], 1, 9)], mask_token=M, pad=5, device=CPU)
    assert canvas.tokens_BL.tolist() == [[1, 2, M, M], [3, M, 5, 5]]
    assert canvas.valid_BL.tolist() == [[True] * 4, [True, True, False, False]]
    assert canvas.open_BL.tolist() == [[False, False, True, True], [False, True, False, False]]
    assert canvas.length_B.tolist() == [4, 2]
    assert canvas.prompt_B.tolist() == [2, 1] and canvas.id_B.tolist() == [7, 9]


def test_padding_that_is_the_mask_token_is_not_filled() -> None:
    canvas = lay_out([continuation([1, 2], 2, 7), continuation([3], 1, 9)], mask_token=M, pad=M, device=CPU)
    assert canvas.open_BL.tolist() == [[False, False, True, True], [False, True, False, False]]
    found = decode(StubDenoiser(logits_of, mask_token=M, dtype=torch.float32), canvas, build(Llada()), Given())  # type: ignore[arg-type]
    assert found.tokens_BL[1, 2:].tolist() == [M, M]
