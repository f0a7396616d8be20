"""Rows that are read while training, and the orders of rows: the same rows as ever, whoever goes on from wherever."""

import functools
import itertools
import json
import pickle
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_toys import compiled, run_stage

from dllm_run.runtime import streamed, training_rows
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.order import bucketed, shuffled, windowed
from dllm_run.runtime.prepared import HELD_OUT, TRAIN, Split
from dllm_run.runtime.streamed import StreamedSplit
from dllm_run.runtime.training_rows import TrainingRows

SPEC = """
version: 1
name: streamed
data:
  toy: {sources: [./a.jsonl, ./b.csv, {generate: {type: arithmetic, size: 30}}], holdout: 20 rows, max_length: 12, STREAMING}
stages:
  train:
    kind: KIND
    model: {scratch: {family: llama, layers: 1, width: 8}, tokenizer: bytes}
    data: ${data.toy}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 2 steps
"""


def prepared(folder: Path, streaming: bool, kind: str = "pretrain", more: str = "") -> Path:
    rows = [{"text": f"text {number} é", "prompt": f"q{number}", "response": "x" * (number % 17)} for number in range(2500)]
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    lines = "".join(f'"line\n{number}",p{number},r\n' for number in range(1200))
    (folder / "b.csv").write_text("text,prompt,response\n" + lines, encoding="utf-8")
    text = SPEC.replace("STREAMING", f"streaming: {str(streaming).lower()}{more}").replace("KIND", kind)
    return run_stage(compiled(folder, text), "train.data", folder).entry.output("data")


@pytest.mark.parametrize(
    ("kind", "more"), [("pretrain", ""), ("sft", ", padding: train_eos"), ("pretrain", ", limit: 700, where: '{{ text|length > 9 }}'")]
)
def test_what_is_read_while_training_is_what_would_have_been_stored(kind: str, more: str, tmp_path: Path) -> None:
    read, stored = (Split.open(prepared(tmp_path, streaming, kind, more), TRAIN) for streaming in (True, False))
    assert isinstance(read, StreamedSplit) and isinstance(stored, Split)
    assert len(read) == len(stored) > 600
    for index in [*range(0, len(stored), 37), len(stored) - 1]:
        assert read.sequence(index) == stored.sequence(index)
    one, two = (Split.open(prepared(tmp_path, streaming, kind, more), HELD_OUT) for streaming in (True, False))
    assert [one.sequence(index) for index in range(len(one))] == [two.sequence(index) for index in range(len(two))]
    assert len(one) == 20


def test_who_goes_on_reads_the_same_rows_and_nothing_of_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "_GROUP", 64)
    monkeypatch.setattr(training_rows, "windowed", functools.partial(windowed, block=64, window=2))
    data = prepared(tmp_path, True)

    def rows() -> TrainingRows:
        return TrainingRows(Split.open(data, TRAIN), seed=3, batch=8, steps=700)

    whole, places = rows(), range(5000, 5200)
    expected = [whole[place] for place in range(5200)][5000:]
    resumed = rows()
    assert [resumed[place] for place in places] == expected
    sent = pickle.loads(pickle.dumps(resumed))
    assert [sent[place] for place in reversed(places)] == expected[::-1]
    assert isinstance(resumed.split, StreamedSplit) and resumed.split.groups_read <= 18 < 59 <= len(resumed.split._groups)
    assert Counter(item["sample"] for item in (whole[place] for place in range(len(whole.split)))) == Counter(range(len(whole.split)))


def test_a_file_that_has_changed_or_gone_is_refused(tmp_path: Path) -> None:
    data = prepared(tmp_path, True)
    with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    with pytest.raises(Failure, match=r"a\.jsonl is not the file whose rows were indexed"):
        Split.open(data, TRAIN).sequence(0)
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(Failure, match=r"a\.jsonl is gone"):
        Split.open(data, TRAIN).sequence(0)


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_every_row_comes_once_a_visit_and_neighbours_stay_near(count: int, block: int, window: int, visit: int) -> None:
    order = windowed(Stream(1, "order"), count, block, window)
    found = [order(visit, place) for place in range(count)]
    assert sorted(found) == list(range(count))
    for start in range(0, count, block * window):
        assert len({row // block for row in found[start : start + block * window]}) <= window
    assert [order(visit, place) for place in reversed(range(count))] == found[::-1]


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=50)


@given(LENGTHS, st.integers(1, 6), st.integers(2, 5), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_buckets_move_places_within_their_window_and_lose_none(lengths: list[int], batch: int, batches: int, steps: int) -> None:
    total, size = batch * steps, batch * batches
    at = bucketed(Stream(0, "buckets"), lambda place: lengths[place % len(lengths)], batch=batch, batches=batches, total=total)
    found = [at(place) for place in range(total)]
    for start in range(0, total, size):
        assert sorted(found[start : start + size]) == list(range(start, min(total, start + size)))
        inside = [
            sorted(lengths[place % len(lengths)] for place in found[row : row + batch])
            for row in range(start, min(total, start + size), batch)
        ]
        ordered = sorted(inside)
        assert all(one[-1] <= two[0] for one, two in itertools.pairwise(ordered)), "a batch holds neighbours by length"


def test_buckets_save_padding_and_leave_lengths_and_slots_apart() -> None:
    lengths = [1 + Stream(5, "lengths").integer(place) % 100 for place in range(6400)]
    at = bucketed(Stream(0, "buckets"), lengths.__getitem__, batch=16, batches=20, total=6400)

    def padding(order: list[int]) -> int:
        batches = [[lengths[place] for place in order[start : start + 16]] for start in range(0, 6400, 16)]
        return sum(16 * max(batch) - sum(batch) for batch in batches)

    plain = shuffled(Stream(0, "order"), 6400)
    found = [at(place) for place in range(6400)]
    assert padding(found) < 0.15 * padding([plain(0, place) for place in range(6400)])
    # Times are stratified by slot: were slots sorted by length, short rows would always have small times.
    batches = [[lengths[place] for place in found[start : start + 16]] for start in range(0, 6400, 16)]
    assert sum(batch == sorted(batch) for batch in batches) < 4
    first = sum(batch[0] < batch[-1] for batch in batches) / sum(batch[0] != batch[-1] for batch in batches)
    assert 0.4 < first < 0.6
