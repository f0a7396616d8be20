"""The engine with rows that come and go: places in the batch, ends of answers, ties, and how many random numbers are read."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from runtime_toys import StubDenoiser, tiny_llama
from sampler_toys import CPU, RAGGED, Given, M, V, continuation, logits_of
from torch import Tensor

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Decoded, Engine, decode
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.generate import Filled, Generator
from dllm_run.runtime.ledger import Ledger
from dllm_run.runtime.marked import Marked, marked_of
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.samplers import Choices
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.vocabulary.samplers.ancestral import Ancestral
from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler
from dllm_run.specs.vocabulary.samplers.dream import DreamSampler
from dllm_run.specs.vocabulary.samplers.fast_dllm import FastDllm
from dllm_run.specs.vocabulary.samplers.llada import Llada
from dllm_run.specs.vocabulary.samplers.remdm import Remdm
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes

BYTES = from_word(Bytes(), base=__import__("pathlib").Path())
SIZE = BYTES.size
QUIET: Any = SimpleNamespace(begin=lambda *_: None, reveal=lambda *_: None, end=lambda *_: None)


def generator(word: Any, batch: int, denoiser: Denoiser | None = None) -> Generator:
    from contextlib import nullcontext

    model = denoiser or tiny_llama(vocabulary=SIZE)
    model.mask_token = BYTES.mask
    return Generator(SimpleNamespace(denoiser=model, tokens=BYTES), build(word), Stream(2, "sample"), batch, nullcontext)  # type: ignore[arg-type]


def fill(made: Generator, requests: list[Request]) -> list[Filled]:
    return made.fill(requests, [""] * len(requests), show=QUIET, note=lambda *_: None, progress=lambda *_: None)


def asked(lengths: list[tuple[int, int]], **fields: Any) -> list[Request]:
    drawn = random.Random(0)
    found = []
    for index, (prompt, new) in enumerate(lengths):
        tokens = [drawn.randrange(97, 123) for _ in range(prompt)]
        found.append(Request(tokens=[*tokens, *[BYTES.mask] * new], id=index, prompt=prompt, **fields))
    return found


WORDS = {
    "llada": Llada(temperature=0.7, block_size=4),
    "dream": DreamSampler(),
    "bd3lm": Bd3lmSampler(block_size=4, threshold=0.05, temperature=1.0),
    "dual": FastDllm(threshold=0.05, block_size=4, cache="dual"),
    "remdm": Remdm(steps=12, eta=0.2),
}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_who_waits_takes_the_place_of_who_is_done_and_nobody_notices(word: Any) -> None:
    requests = asked([(3, 4), (9, 12), (1, 5), (5, 9), (2, 2), (7, 7)], ends=True)
    together = fill(generator(word, 16), requests)
    for batch in (1, 2, 3):
        found = fill(generator(word, batch), requests)
        assert [row.tokens for row in found] == [row.tokens for row in together]
        assert [row.trace["step"] for row in found] == [row.trace["step"] for row in together]
    for request, row in zip(requests, together, strict=True):
        assert row.tokens[: request.prompt] == request.tokens[: request.prompt]
        assert not set(row.tokens[request.prompt :]) & set(BYTES.forbidden)


def test_places_are_busy_on_a_skewed_mix_of_lengths() -> None:
    drawn = random.Random(1)
    lengths = [(drawn.randrange(1, 20), min(96, int(drawn.paretovariate(1.1) * 4))) for _ in range(60)]
    made = generator(Llada(block_size=4), 4)
    fill(made, asked(lengths))
    ledger = made.ledger
    assert ledger.requests == 60 and ledger.turns == sum(new for _, new in lengths) == ledger.tokens
    # Batches that wait for their longest row would keep far fewer busy.
    order = sorted(new for _, new in lengths)
    waiting = sum(4 * max(lengths[start + row][1] for row in range(4)) for start in range(0, 60, 4))
    assert ledger.turns / waiting < 0.7 < 0.9 <= ledger.turns / ledger.slots, order
    assert made.results()["busy_slots"] >= 0.9


def test_a_row_is_over_when_one_of_its_texts_appears() -> None:
    made = generator(Llada(block_size=1), 2)
    (whole,) = fill(made, asked([(4, 24)]))
    text = BYTES.decode(whole.tokens[4:])
    stop = text[3:6]
    (cut,) = fill(generator(Llada(block_size=1), 2), asked([(4, 24)], until=(stop,)))
    place = text.index(stop) + len(stop)
    answer = BYTES.decode(cut.tokens[4:])
    assert answer == text[: len(answer)] and stop in answer and len(answer) <= place + 1
    assert cut.passes < whole.passes and cut.trace["step"][-1] == -2


def test_the_prompt_may_hold_what_ends_an_answer() -> None:
    end = BYTES.end[0]
    requests = [Request(tokens=[97, end, 98, *[BYTES.mask] * 6], id=0, prompt=3, ends=True)]
    (found,) = fill(generator(Llada(suppress_tokens=("</s>",) if "</s>" in BYTES.fast.get_vocab() else (end,)), 1), requests)
    assert found.passes == 6 and end not in found.tokens[3:]


def test_tokens_are_named_by_text_or_number() -> None:
    end = BYTES.end[0]
    choices = build(
        Llada(suppress_tokens=("a", 98), begin_suppress_tokens=(end,), defer_tokens=("z",), cfg_scale=1, cfg_keep_tokens=("c",))
    )
    marked = marked_of(choices, BYTES, CPU)
    assert set(marked.never_T.tolist()) == {*BYTES.forbidden, BYTES.fast.convert_tokens_to_ids("a"), 98}
    assert (marked.not_first_T.tolist(), marked.last_T.tolist()) == ([end], [BYTES.fast.convert_tokens_to_ids("z")])
    assert marked.kept_T.tolist() == [BYTES.fast.convert_tokens_to_ids("c")] and marked.stops_T.tolist() == sorted(BYTES.stops)
    for wrong, said in (("no such token", "none of that text"), (10**6, "names token 1000000")):
        with pytest.raises(Failure, match=said):
            marked_of(build(Llada(suppress_tokens=(wrong,))), BYTES, CPU)


# --- random numbers


class Counting(Given):
    """How many numbers were read, by purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[int, int] = {}

    def uniform(self, *components: Tensor) -> Tensor:
        found = super().uniform(*components)
        self.read[int(components[-1])] = self.read.get(int(components[-1]), 0) + found.numel()
        return found


@pytest.mark.parametrize(
    ("word", "purposes"),
    [
        (Llada(temperature=1), {0}),
        (Llada(temperature=1, block_size=4, steps=4, top_k=5), {0}),
        (DreamSampler(), {0}),
        (Bd3lmSampler(block_size=4, cache="none", temperature=0.5, cfg_scale=1), {0}),
        (Llada(remasking="random"), {1}),
        (Llada(remasking="random", temperature=1), {0, 1}),
        (Llada(), set()),
    ],
)
def test_a_scored_position_reads_one_number_for_its_token_and_one_for_a_random_order(word: Any, purposes: set[int]) -> None:
    stream = Counting()
    denoiser = StubDenoiser(logits_of, mask_token=M, dtype=torch.float64)
    canvas = lay_out(RAGGED, mask_token=M, pad=0, device=CPU)
    found = decode(denoiser, canvas, build(word), stream)  # type: ignore[arg-type]
    scored = found.ledger.head_rows // (2 if word.cfg_scale else 1)
    assert stream.read == dict.fromkeys(purposes, scored)


def test_the_reverse_process_reads_one_number_for_each_position_and_step_and_one_for_each_token() -> None:
    stream = Counting()
    denoiser = StubDenoiser(logits_of, mask_token=M, dtype=torch.float64)
    found = decode(denoiser, lay_out(RAGGED[:1], mask_token=M, pad=0, device=CPU), build(Ancestral(steps=5)), stream)  # type: ignore[arg-type]
    assert stream.read[0] == found.ledger.head_rows == 8
    assert stream.read[1] == 8 * (int(found.step_BL.max()) + 1)


# --- ties


def filled(denoiser: Denoiser, choices: Choices, requests: list[Request]) -> Decoded:
    return decode(denoiser, lay_out(requests, mask_token=denoiser.mask_token, pad=0, device=CPU), choices, Stream(0, "sample"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    "word",
    [
        Llada(),
        Llada(steps=6, remasking="entropy"),
        FastDllm(threshold=0.3, block_size=8),
        Llada(temperature=1.0),
        Bd3lmSampler(block_size=4),
    ],
    ids=["greedy", "by-entropy", "sure", "warm", "blocks"],
)
def test_tokens_differ_between_batches_only_where_a_tie_was_told(word: Any, dtype: torch.dtype) -> None:
    denoiser = tiny_llama(vocabulary=60)
    denoiser.network.to(dtype)
    requests = [continuation([index + 1, 2 * index, *range(index)], 12, index) for index in range(10)]
    requests = [Request(tokens=[token if token != M else 59 for token in one.tokens], id=one.id, prompt=one.prompt) for one in requests]
    together = filled(denoiser, build(word), requests)
    untied = 0
    for row, request in enumerate(requests):
        alone = filled(denoiser, build(word), [request])
        if not int(together.ties_B[row]) and not int(alone.ties_B[0]):
            untied += 1
            assert together.tokens_BL[row, : len(request.tokens)].tolist() == alone.tokens_BL[0].tolist()
    assert untied >= (4 if dtype is torch.float32 else 0)
    assert together.ledger.ties == int(together.ties_B.sum())


def test_a_tie_of_tokens_and_one_of_positions_are_told() -> None:
    even = (*([0.0] * 11), 1.0, -float("inf"))
    near = (*([0.0] * 10), 1.0, 1.0 + 1e-6, -float("inf"))
    for logits, position_ties, token_ties in ((even, 1, 0), (near, 1, 2)):
        denoiser = StubDenoiser(lambda seen, position, logits=logits: logits, mask_token=M, dtype=torch.float32)  # type: ignore[misc]
        found = decode(denoiser, lay_out([continuation([1], 2, 0)], mask_token=M, pad=0, device=CPU), build(Llada()), Given())  # type: ignore[arg-type]
        assert int(found.ties_B[0]) == position_ties + token_ties


# --- the ledger


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    denoiser = tiny_llama(vocabulary=40)
    denoiser.network.set_attn_implementation("eager")
    requests = [continuation([1, 2, 3], 8, 0), continuation([1, 2, 3], 8, 1)]
    requests = [Request(tokens=[39 if token == M else token for token in one.tokens], id=one.id, prompt=one.prompt) for one in requests]
    geometry = Geometry.from_config(denoiser.network.config.to_dict())
    assert geometry is not None
    for word in (Llada(steps=4), Bd3lmSampler(block_size=4), FastDllm(steps=8, block_size=4, cache="dual"), Llada(cfg_scale=1)):
        with FlopCounterMode(display=False) as counter:
            found = filled(denoiser, build(word), requests)
        assert found.ledger.flops(geometry) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_an_engine_counts_the_places_it_has_and_those_it_uses() -> None:
    denoiser, ledger = StubDenoiser(logits_of, mask_token=M, dtype=torch.float64), Ledger()
    engine = Engine(denoiser, build(Llada()), Given(), marked=Marked.nothing(CPU), ledger=ledger, slots=3)  # type: ignore[arg-type]
    engine.enter(lay_out([continuation([1], 2, 0), continuation([1], 5, 1)], mask_token=M, pad=0, device=CPU), [7, 8])
    order = []
    while len(engine):
        order += [row.request for row in engine.step()]
    assert order == [7, 8] and (ledger.turns, ledger.slots, ledger.requests, ledger.tokens) == (2 + 5, 3 * 5, 2, 7)
    assert ledger.results(None)["busy_slots"] == round(7 / 15, 4) and V > M
