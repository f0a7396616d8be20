"""Packing: which texts share a sequence, and that none of them notices."""

import itertools
import pydoc_data.topics
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_toys import Sequences, sequences
from runtime_toys import tiny_llama

from dllm_run.runtime.build import build
from dllm_run.runtime.objectives import Draws
from dllm_run.runtime.objectives.bd3lm import BlockDraws
from dllm_run.runtime.packing import best_fit
from dllm_run.runtime.rows import Rows, pad_rows
from dllm_run.runtime.sequence import Sequence
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm
from dllm_run.specs.vocabulary.objectives.dream import Dream
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes

TOKENS = from_word(Bytes(), Path())
EOS = TOKENS.end[0]


def prepared(rows: list[dict[str, str]], **fields: object) -> Sequences:
    data = Data(sources=(Source(path="./x.jsonl"),), packing="documents", **fields)  # type: ignore[arg-type]
    return sequences(rows, data, TOKENS)


def fitted_by_hand(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best fit as it is told: look at every bin for the one with the least room that is enough, the newest of equals."""
    bins: list[list[int]] = []
    emptied: list[int] = []  # bins in the order in which they got the room that they have
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        rooms = {number: capacity - sum(lengths[member] for member in bins[number]) for number in emptied}
        fitting = [number for number in emptied if rooms[number] >= lengths[index]]
        if fitting:
            least = min(rooms[number] for number in fitting)
            chosen = [number for number in fitting if rooms[number] == least][-1]
            emptied.remove(chosen)
        else:
            chosen = len(bins)
            bins.append([])
        bins[chosen].append(index)
        emptied.append(chosen)
    return sorted((sorted(found) for found in bins), key=lambda found: found[0])


@given(st.lists(st.integers(1, 12), max_size=40), st.integers(12, 20))
@settings(max_examples=200, deadline=None)
def test_every_text_goes_into_the_fullest_sequence_that_has_room(lengths: list[int], capacity: int) -> None:
    found = best_fit(lengths, capacity)
    assert found == fitted_by_hand(lengths, capacity)
    assert sorted(index for members in found for index in members) == list(range(len(lengths)))
    sums = sorted(sum(lengths[index] for index in members) for members in found)
    assert not sums or (sums[-1] <= capacity and all(one + two > capacity for one, two in itertools.pairwise(sums)))


def test_ordinary_text_fills_more_than_95_per_cent() -> None:
    texts = [{"text": paragraph} for topic in pydoc_data.topics.topics.values() for paragraph in topic.split("\n\n")]
    found = prepared(texts, max_length=1024)
    assert sum(map(len, found.tokens)) > 0.95 * 1024 * len(found.tokens)
    texts_in = sorted(text["text"].encode() for text in texts if len(text["text"].encode()) < 1024)
    texts_out = []
    for sequence in found.found:
        start = 0
        for length in sequence.documents or ():
            texts_out.append(sequence.tokens[start : start + length])
            start += length
        assert start == len(sequence.tokens)
    whole = sorted(bytes(tokens[:-1]) for tokens in texts_out if tokens[-1] == EOS and len(tokens) <= 1024)
    missing = list(texts_in)
    for text in whole:
        if text in missing:
            missing.remove(text)
    assert missing == []


def test_a_longer_text_is_split_and_a_longer_pair_is_cut() -> None:
    found = prepared([{"text": "abcdefgh"}, {"text": "x"}], max_length=4)
    assert [item.tokens for item in found.found] == [[97, 98, 99, 100], [101, 102, 103, 104], [EOS, 120, EOS]]
    assert [item.documents for item in found.found] == [[4], [4], [1, 2]]
    pairs = prepared(
        [{"prompt": "ab", "response": "cdefg"}, {"prompt": "abcde", "response": "f"}, {"prompt": "a", "response": "b"}], max_length=4
    )
    assert [item.tokens for item in pairs.found] == [[97, 98, 99, 100], [97, 98, EOS]]
    assert (pairs.cut, pairs.dropped) == (1, 1)


def test_every_token_of_pairs_that_share_a_row_knows_whether_it_is_learned() -> None:
    found = prepared([{"prompt": "ab", "response": "c"}, {"prompt": "d", "response": "ef"}], max_length=8)
    assert found.found == [Sequence(tokens=[97, 98, 99, EOS, 100, 101, 102, EOS], runs=[2, 2, 1, 3], documents=[4, 4])]


LENGTHS = [5, 9, 3]
WORDS = {
    "mdlm": Mdlm(normalise="token"),
    "mdlm-complementary": Mdlm(normalise="token", complementary=True),
    "dream": Dream(normalise="token"),
    "bd3lm": Bd3lm(block_size=4, normalise="token"),
    "bd3lm-1": Bd3lm(block_size=1, normalise="token"),
}


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("name", WORDS)
def test_loss_and_gradients_of_packed_texts_are_those_of_the_same_texts_alone(name: str, shift: int) -> None:
    """In float64, with the same times and uniforms: a row has one time, so that the texts alone are given that of their row."""
    word, generator = WORDS[name], torch.Generator().manual_seed(3)
    texts = [torch.randint(0, 19, (length,), generator=generator).tolist() for length in LENGTHS]
    learned = [[index % 3 != 0 for index in range(length)] for length in LENGTHS]
    length = sum(LENGTHS)
    mask_1L = torch.rand(1, length, generator=generator, dtype=torch.float64)
    time_1L = torch.full((1, length), 0.6, dtype=torch.float64)
    packed = _rows([_chain(texts)], [_chain(learned)], [LENGTHS])
    alone = _rows(texts, learned, None)
    one, two = (_gradients(word, rows, *_draws(word, rows, time, mask), shift) for rows, time, mask in (
        (packed, time_1L, mask_1L),
        (alone, *(_cut(value) for value in (time_1L, mask_1L))),
    ))  # fmt: skip
    assert one[0] == pytest.approx(two[0], rel=1e-12) and one[1] == two[1] == sum(map(sum, learned)) * (2 if word.complementary else 1)
    for first, second in zip(one[2], two[2], strict=True):
        assert torch.allclose(first, second, rtol=1e-9, atol=1e-12)
    # That they see each other would show.
    mixed = _gradients(word, _rows([_chain(texts)], [_chain(learned)], None), *_draws(word, packed, time_1L, mask_1L), shift)
    assert abs(mixed[0] - one[0]) > 1e-6 * abs(one[0])


def _rows(texts: list[list[int]], learned: list[list[bool]], documents: list[list[int]] | None) -> Rows:
    count = len(texts)
    numbers = list(range(count))
    return pad_rows(
        texts, [0] * count, pad=0, samples=numbers, visits=[0] * count, slots=numbers, batch=count, learned=learned, documents=documents
    )  # type: ignore[arg-type]


def _chain(parts: list[list[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(parts))


def _cut(value_1L: torch.Tensor) -> torch.Tensor:
    """A row for each text, padded with what masks nothing."""
    found = torch.full((len(LENGTHS), max(LENGTHS)), 0.999, dtype=torch.float64)
    start = 0
    for index, length in enumerate(LENGTHS):
        found[index, :length] = value_1L[0, start : start + length]
        start += length
    return found


def _draws(word: Objective, rows: Rows, time_BL: torch.Tensor, mask_BL: torch.Tensor) -> tuple[Draws | BlockDraws]:
    return (BlockDraws(time_BL, mask_BL) if isinstance(word, Bd3lm) else Draws(time_BL[:, 0], mask_BL),)


def _gradients(word: Objective, rows: Rows, draws: Draws | BlockDraws, shift: int) -> tuple[float, float, list[torch.Tensor]]:
    denoiser = tiny_llama(vocabulary=20, shift=shift).double()
    loss = build(word).loss(denoiser, rows, draws)
    loss.numerator.backward()
    gradients = [weight.grad for weight in denoiser.parameters() if weight.grad is not None]
    return float(loss.numerator.detach()), float(loss.denominator), gradients
