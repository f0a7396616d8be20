"""From rows to sequences: the hold-out, packing, cutting, and which spans are hidden."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_toys import Sequences, sequences

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.prepare import choose, key_of, mask_spans
from dllm_run.runtime.tokenizers import Tokens, from_word
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.tokenizers.pattern import Pattern

TOKENS = from_word(Bytes(), Path())
EOS = TOKENS.end[0]
ROWS = [{"text": f"row {index}"} for index in range(40)]


def data(**fields: object) -> Data:
    return Data(sources=(Source(path="./x.jsonl"),), **fields)  # type: ignore[arg-type]


def prepared(rows: list[dict[str, str]], tokens: Tokens = TOKENS, **fields: object) -> Sequences:
    return sequences(rows, data(**fields), tokens)


def split(rows: list[dict[str, str]], data: Data) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    chosen = choose([key_of(row) for row in rows], [0] * len(rows), data)
    return [rows[index] for index in chosen.training], [rows[index] for index in chosen.held_out]


@pytest.mark.parametrize(("holdout", "held"), [("5 rows", 5), (0.25, 10), (0.001, 1), (None, 0)], ids=["rows", "fraction", "tiny", "none"])
def test_the_hold_out_has_its_size_and_shares_no_row_with_training(holdout: str | float | None, held: int) -> None:
    training, held_out = split(ROWS, data(holdout=None if holdout is None else Quantity.parse(holdout)))
    assert len(held_out) == held
    assert sorted(row["text"] for row in [*training, *held_out]) == sorted(row["text"] for row in ROWS)


def test_the_hold_out_stays_the_same_under_every_limit() -> None:
    _, expected = split(ROWS, data(holdout=Quantity.parse("7 rows")))
    for limit in (1, 5, 20, 33, 1000):
        training, held_out = split(ROWS, data(holdout=Quantity.parse("7 rows"), limit=limit))
        assert held_out == expected
        assert len(training) == min(limit, 33)
        assert not {row["text"] for row in training} & {row["text"] for row in held_out}


def test_a_smaller_limit_keeps_some_of_the_same_rows() -> None:
    few, many = (split(ROWS, data(holdout=Quantity.parse("7 rows"), limit=limit))[0] for limit in (5, 20))
    assert {row["text"] for row in few} < {row["text"] for row in many}


def test_rows_keep_their_order_and_the_seed_chooses_the_hold_out() -> None:
    training, held_out = split(ROWS, data(holdout=Quantity.parse("7 rows")))
    for part in (training, held_out):
        assert part == sorted(part, key=ROWS.index)
    assert split(ROWS, data(holdout=Quantity.parse("7 rows"), seed=1))[1] != held_out


def test_a_hold_out_of_everything_is_refused() -> None:
    with pytest.raises(Failure, match="a hold-out of 40 rows leaves nothing of 40 to train on"):
        split(ROWS, data(holdout=Quantity.parse("40 rows")))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=12), st.integers(2, 17))
@settings(max_examples=150, deadline=None)
def test_packing_fills_every_sequence_but_the_last_and_loses_no_token(texts: list[str], length: int) -> None:
    found = prepared([{"text": text} for text in texts], packing="cut", max_length=length)
    joined = list(itertools.chain.from_iterable([*text.encode(), EOS] for text in texts))
    assert list(itertools.chain.from_iterable(found.tokens)) == joined
    assert all(len(part) == length for part in found.tokens[:-1]) and 1 <= len(found.tokens[-1]) <= length
    assert found.prompt == [0] * len(found.tokens)
    assert (found.cut, found.dropped) == (0, 0)


def test_without_packing_a_row_is_a_sequence_with_its_end() -> None:
    found = prepared([{"text": "abc"}, {"text": ""}], max_length=8)
    assert found.tokens == [[97, 98, 99, EOS], [EOS]]
    assert found.prompt == [0, 0]


def test_longer_rows_are_cut_on_the_right_or_dropped() -> None:
    rows = [{"text": "abcd"}, {"text": "ab"}, {"text": "abc"}]
    cut, dropped = prepared(rows, max_length=4), prepared(rows, max_length=4, truncation="drop")
    assert cut.tokens == [[97, 98, 99, 100], [97, 98, EOS], [97, 98, 99, EOS]]
    assert (cut.cut, cut.dropped) == (1, 0)
    assert dropped.tokens == [[97, 98, EOS], [97, 98, 99, EOS]]
    assert (dropped.cut, dropped.dropped) == (0, 1)


def test_pairs_mark_the_prompt_and_a_prompt_that_fills_the_row_is_dropped() -> None:
    rows = [{"prompt": "ab", "response": "cd"}, {"prompt": "abcdef", "response": "x"}, {"prompt": "abcde", "response": "xy"}]
    found = prepared(rows, max_length=6)
    assert found.tokens == [[97, 98, 99, 100, EOS], [97, 98, 99, 100, 101, 120]]
    assert found.prompt == [2, 5]
    assert (found.cut, found.dropped) == (1, 1)


def test_the_token_before_a_text_counts_as_given(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n", encoding="utf-8")
    tokens = from_word(Pattern(vocabulary="./v.txt"), tmp_path)
    assert prepared([{"text": "ab"}], tokens, max_length=9).tokens == [[2, 5, 6, 3]]
    assert prepared([{"text": "ab"}], tokens, max_length=9).prompt == [1]
    assert prepared([{"prompt": "a", "response": "b"}], tokens, max_length=9).prompt == [2]


def runs(hidden: list[bool]) -> list[int]:
    return [len(list(group)) for value, group in itertools.groupby(hidden) if value]


@given(st.integers(0, 300), st.integers(0, 60), st.floats(0.01, 1.0), st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_hidden_spans_stay_within_the_row_and_out_of_the_prompt(places: int, prompt: int, ratio: float, span: int, sample: int) -> None:
    hidden = mask_spans(prompt + places, prompt, ratio=ratio, span=span, stream=Stream(0, "spans"), sample=sample)
    assert len(hidden) == prompt + places
    assert not any(hidden[:prompt])
    assert any(hidden) == (places > 0)
    assert abs(sum(hidden) - places * ratio) <= max(span, 0.5 * span + places / span if span > 1 else 0.5)


@pytest.mark.parametrize(("ratio", "span"), [(0.3, 8), (0.1, 4), (0.5, 3), (0.25, 1)])
def test_about_the_asked_share_is_hidden_in_whole_spans_that_do_not_touch(ratio: float, span: int) -> None:
    for sample in range(50):
        hidden = mask_spans(200, 20, ratio=ratio, span=span, stream=Stream(0, "spans"), sample=sample)
        assert sum(hidden) == round(180 * ratio / span) * span
        assert set(runs(hidden)) == {span}


def test_another_row_has_other_spans_and_the_same_row_the_same() -> None:
    found = [tuple(mask_spans(100, 0, ratio=0.3, span=5, stream=Stream(0, "spans"), sample=sample)) for sample in (0, 1, 0)]
    assert found[0] == found[2] != found[1]
