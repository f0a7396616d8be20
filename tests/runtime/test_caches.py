"""Caches: the exact one of blocks against reading everything, and the approximate ones when they have just been refreshed."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from sampler_toys import CPU, tokens_of
from torch import Tensor

from dllm_run.runtime import decode as decoding
from dllm_run.runtime.board import Board, board_of
from dllm_run.runtime.board_reader import Whole
from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Decoded, Engine, decode
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.guided import Guided
from dllm_run.runtime.ledger import Ledger
from dllm_run.runtime.marked import Marked
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.samplers import Choices
from dllm_run.runtime.window_reader import Windows
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler
from dllm_run.specs.vocabulary.samplers.fast_dllm import FastDllm
from dllm_run.specs.word import members

V = 40
M = V - 1
FAMILIES: dict[str, Any] = dict(members(Family))
CACHED = sorted(word for word, cls in FAMILIES.items() if not cls.masked)


def tiny(family: str, *, shift: int = 0, kernel: str | None = None, seed: int = 0) -> Denoiser:
    """Two layers of a family, with weights that say something."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    cls = FAMILIES[family]
    config = build(cls(layers=2, width=32, heads=2).completed())
    config.vocab_size = V
    config._attn_implementation = kernel or ("eager" if family == "gemma2" else "sdpa")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = (AutoModelForMaskedLM if cls.masked else AutoModelForCausalLM).from_config(config).eval()
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return Denoiser(network, mask_token=M, logit_shift=shift)


def continuation(length: int, new: int, identity: int) -> Request:
    generator = torch.Generator().manual_seed(identity)
    prompt = torch.randint(0, M, (length,), generator=generator).tolist()
    return Request(tokens=[*prompt, *[M] * new], id=identity, prompt=length)


def scattered(length: int, identity: int, share: float = 0.4) -> Request:
    generator = torch.Generator().manual_seed(identity)
    tokens = torch.randint(0, M, (length,), generator=generator)
    tokens[torch.rand(length, generator=generator) < share] = M
    return Request(tokens=tokens.tolist(), id=identity)


BATCHES = {
    "equal": [continuation(8, 12, index) for index in range(3)],
    "unequal": [continuation(length, 12, index) for index, length in enumerate((9, 1, 0, 17))],
    "lengths-too": [continuation(length, new, index) for index, (length, new) in enumerate(((9, 3), (2, 13), (16, 8)))],
    "scattered": [scattered(21, 1), scattered(9, 2), scattered(30, 3, share=0.15), Request(tokens=[3, *[M] * 5], id=4)],
    "alone": [continuation(13, 10, 5)],
}


def agree(found: Decoded, other: Decoded, batch: list[Request]) -> None:
    """The same tokens in the same order, but in rows in which a choice was a tie."""
    sure = (found.ties_B == 0).nonzero()[:, 0].tolist()
    assert sure or len(batch) == 1
    assert [tokens_of(found, batch)[row] for row in sure] == [tokens_of(other, batch)[row] for row in sure]
    assert torch.equal(found.step_BL[sure], other.step_BL[sure])


def run(denoiser: Denoiser, word: Any, requests: list[Request]) -> Decoded:
    return decode(denoiser, lay_out(requests, mask_token=M, pad=0, device=CPU), build(word), Stream(3, "sample"))


WORDS = {
    "one-a-step": Bd3lmSampler(block_size=4),
    "two-a-step": Bd3lmSampler(block_size=4, steps=6),
    "sure-ones": Bd3lmSampler(block_size=4, threshold=0.1, temperature=0.7),
    "warm-and-guided": Bd3lmSampler(block_size=4, steps=6, temperature=1.0, cfg_scale=0.7),
    "wide": Bd3lmSampler(block_size=16, steps=8),
    "token-by-token": Bd3lmSampler(block_size=1),
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_the_cache_of_blocks_changes_no_token(word: Bd3lmSampler, shift: int, batch: list[Request]) -> None:
    denoiser = tiny("qwen3", shift=shift)
    cached, plain = run(denoiser, word, batch), run(denoiser, replace(word, cache="none"), batch)
    agree(cached, plain, batch)
    sure_B = cached.ties_B == 0
    torch.testing.assert_close(cached.probability_BL[sure_B], plain.probability_BL[sure_B], rtol=1e-4, atol=1e-5)
    if not bool(sure_B.all()):
        return
    assert cached.ledger.head_rows == plain.ledger.head_rows
    # A pass for each step, and one for the prompts: what a finished block costs rides along.
    sides = 2 if word.cfg_scale else 1
    prompts = any(request.tokens[: word.block_size].count(M) == 0 for request in batch)
    assert cached.ledger.passes == plain.ledger.passes + sides * prompts


@pytest.mark.parametrize(("family", "kernel"), [*((family, None) for family in CACHED), ("llama", "eager"), ("gemma3", "eager")])
def test_every_family_with_a_cache_gives_the_same_tokens_with_it(family: str, kernel: str | None) -> None:
    denoiser = tiny(family, shift=1, kernel=kernel)
    for batch in (BATCHES["unequal"], BATCHES["scattered"]):
        word = Bd3lmSampler(block_size=4, steps=6)
        agree(run(denoiser, word, batch), run(denoiser, replace(word, cache="none"), batch), batch)


def test_prompts_are_encoded_once_and_blocks_read_as_often_as_they_have_steps() -> None:
    denoiser, batch = tiny("llama"), [continuation(64, 16, 0)]
    found = run(denoiser, Bd3lmSampler(block_size=4), batch)
    # 64 of the prompt; four blocks of 4 tokens and 4 steps; three finished blocks that ride along once.
    assert found.ledger.query_tokens == 64 + 4 * 4 * 4 + 3 * 4
    assert found.ledger.passes == 1 + 16


def test_long_prompts_are_encoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from dllm_run.runtime import block_reader

    denoiser, batch = tiny("llama", shift=1), [continuation(29, 8, 0), continuation(3, 8, 1), continuation(16, 8, 2)]
    whole = run(denoiser, Bd3lmSampler(block_size=4), batch)
    monkeypatch.setattr(block_reader, "_CHUNK", 8)
    pieces = run(denoiser, Bd3lmSampler(block_size=4), batch)
    assert tokens_of(pieces, batch) == tokens_of(whole, batch)
    assert pieces.ledger.passes == whole.ledger.passes + 3


class Poisoned(Guided):
    """Before each pass, whatever a cache has of what is not yet read for good becomes something else."""

    def logits(self, board: Board, scored_BL: Tensor) -> Tensor:
        for reader in self.readers:
            for layer in reader.store.cache.layers:  # type: ignore[attr-defined]
                if layer.is_initialized:
                    for row, at in enumerate(reader.at_B.tolist()):  # type: ignore[attr-defined]
                        layer.keys[row, :, at:] = 1e4
                        layer.values[row, :, at:] = 1e4
        return super().logits(board, scored_BL)


def test_nothing_that_was_computed_beside_a_mask_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser, batch = tiny("llama"), BATCHES["unequal"]
    expected = tokens_of(run(denoiser, Bd3lmSampler(block_size=4), batch), batch)
    monkeypatch.setattr(decoding, "Guided", Poisoned)
    assert tokens_of(run(denoiser, Bd3lmSampler(block_size=4), batch), batch) == expected


def test_rows_that_enter_later_get_the_same_tokens() -> None:
    denoiser = tiny("qwen3", shift=1)
    batch = [*BATCHES["lengths-too"], *BATCHES["scattered"]]
    for word in (Bd3lmSampler(block_size=4, threshold=0.1), Bd3lmSampler(block_size=4, cfg_scale=1.0, steps=5)):
        alone = [run(denoiser, word, [request]).tokens_BL[0].tolist() for request in batch]
        assert queued(denoiser, build(word), batch, slots=2) == alone


def queued(denoiser: Denoiser, choices: Choices, batch: list[Request], slots: int) -> list[list[int]]:
    """The tokens of requests that wait for a place."""
    engine = Engine(denoiser, choices, Stream(3, "sample"), marked=Marked.nothing(CPU), ledger=Ledger(), slots=slots)
    waiting, found = list(range(len(batch))), {}
    with torch.inference_mode():
        while waiting or len(engine):
            if waiting and len(engine) < slots:
                index = waiting.pop(0)
                engine.enter(lay_out([batch[index]], mask_token=M, pad=0, device=CPU), [index])
                continue
            for row in engine.step():
                found[row.request] = row.tokens
    return [found[index] for index in range(len(batch))]


# --- approximate caches


@pytest.mark.parametrize(("shift", "kind"), [(0, "prefix"), (1, "dual")])
@pytest.mark.parametrize("family", CACHED)
@torch.inference_mode()
def test_a_window_beside_a_fresh_cache_is_read_as_the_whole_row(family: str, shift: int, kind: str) -> None:
    denoiser, compared = tiny(family, shift=shift), 0
    for batch in BATCHES.values():
        canvas = lay_out(batch, mask_token=M, pad=0, device=CPU)
        board = board_of(canvas, torch.arange(len(batch)), block_size=4, from_origin=False, steps=None)
        whole, windows = Whole(denoiser, Ledger(), None), Windows(denoiser, Ledger(), kind, None)
        windows.enter(board, board.tokens_BL, len(batch))
        for _ in range(3):
            active_BL = board.open_BL & (board.block_BL == board.current_B()[:, None])
            expected = whole.read(board, board.tokens_BL, active_BL)
            for _ in range(2):  # the first fills the cache, the second reads beside it what has not moved
                found = windows.read(board, board.tokens_BL, active_BL)
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
                compared += len(found)
            board.tokens_BL[active_BL] = 7
            board.open_BL &= ~active_BL
            if not board.open_BL.any(-1).all():
                break
        assert windows.ledger.query_tokens < 6 * board.tokens_BL.numel() or kind == "prefix"
    assert compared > 100


@pytest.mark.parametrize("kind", ["prefix", "dual"])
def test_refreshed_at_every_step_they_are_exact(kind: str) -> None:
    denoiser = tiny("llama", shift=1)
    for batch in BATCHES.values():
        word = FastDllm(threshold=0.1, block_size=4, cache=kind, refresh=1)
        found, plain = run(denoiser, word, batch), run(denoiser, FastDllm(threshold=0.1, block_size=4), batch)
        agree(found, plain, batch)


@pytest.mark.parametrize("kind", ["prefix", "dual"])
@pytest.mark.parametrize("refresh", [None, 2])
def test_approximate_tokens_do_not_depend_on_the_batch(kind: str, refresh: int | None) -> None:
    denoiser = tiny("llama", shift=1)
    batch = [request for requests in BATCHES.values() for request in requests]
    word = FastDllm(threshold=0.1, block_size=4, cache=kind, refresh=refresh)
    alone = [run(denoiser, word, [request]).tokens_BL[0].tolist() for request in batch]
    assert tokens_of(run(denoiser, word, batch), batch) == alone
    assert queued(denoiser, build(word), batch, slots=3) == alone


def test_a_window_is_read_alone_until_the_next_one_begins() -> None:
    denoiser, batch = tiny("llama"), [continuation(20, 12, 0)]
    tokens = {
        kind: run(denoiser, FastDllm(steps=12, block_size=4, cache=kind), batch).ledger.query_tokens for kind in ("none", "prefix", "dual")
    }
    # 32 columns, three windows of four steps: one of them whole, three of what is left, or of the window alone.
    assert tokens == {"none": 12 * 32, "prefix": 3 * 32 + 3 * (12 + 8 + 4), "dual": 3 * 32 + 3 * 3 * 4}


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(CACHED)))
def test_an_encoder_takes_no_cache(family: str) -> None:
    with pytest.raises(Failure, match="takes no cache"):
        run(tiny(family), FastDllm(cache="dual"), [continuation(3, 4, 0)])
    with pytest.raises(Failure, match="takes no cache"):
        run(tiny(family), Bd3lmSampler(block_size=4), [continuation(3, 4, 0)])
