"""Sequences for Edit Flows: the prompt is never edited, every row begins with a token, and columns survive storage and batching."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from prepared_toys import sequences
from runtime_toys import compiled, run_stage

from dllm_run.runtime.align import BLANK, align
from dllm_run.runtime.edit_rows import aligned, opened
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.prepared import HELD_OUT, TRAIN, Split
from dllm_run.runtime.tokenizers import Tokens, from_word
from dllm_run.runtime.training_rows import TrainingRows, collate, rows_of
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.starts import Start
from dllm_run.specs.vocabulary.starts.empty import Empty
from dllm_run.specs.vocabulary.starts.masks import Masks
from dllm_run.specs.vocabulary.tokenizers.characters import Characters

PAIRS = [{"prompt": "ab", "response": "xyb"}, {"prompt": "", "response": "z"}, {"prompt": "long prompt", "response": "q"}]


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return from_word(Characters(), tmp_path)


def data(**changes: Any) -> Data:
    return Data(sources=(Source(path="./texts.jsonl"),), **{"max_length": 32, **changes})


def prepared(tokens: Tokens, start: Start, **changes: Any) -> Any:
    return sequences(PAIRS, data(**changes), tokens, start)


def test_a_prompt_is_aligned_with_itself_also_where_the_response_repeats_its_end(tokens: Tokens) -> None:
    """Aligned as a whole, the b of the prompt could pair with that of the response, and the prompt would be edited."""
    found = prepared(tokens, Empty())
    eos, a, b, x, y = tokens.end[0], *tokens.encode("abxy")
    assert found.tokens[0] == [eos, a, b, x, y, b, eos] and found.prompt[0] == 3
    assert found.alignments[0].source.tolist() == [eos, a, b, *[BLANK] * 4]
    assert found.alignments[0].goal.tolist() == found.tokens[0]
    whole = align([eos, a, b], found.tokens[0])
    assert whole.source.tolist() != found.alignments[0].source.tolist()


def test_a_row_without_prompt_still_begins_with_a_token_that_is_given(tokens: Tokens) -> None:
    found = prepared(tokens, Masks(length=3))
    eos, z, mask = tokens.end[0], *tokens.encode("z"), tokens.mask
    assert found.tokens[1] == [eos, z, eos] and found.prompt[1] == 1
    assert found.alignments[1].source.tolist() == [eos, mask, mask, mask]
    assert found.alignments[1].goal.tolist() == [eos, BLANK, z, eos]


def test_a_tokenizer_that_begins_texts_keeps_its_token_and_one_with_no_ends_is_refused(tokens: Tokens) -> None:
    begins = replace(tokens, begin=(7,))
    assert opened(begins) is begins
    assert opened(tokens).begin == tokens.end
    with pytest.raises(Failure, match="neither a token that begins a text nor one that ends it"):
        opened(replace(tokens, begin=(), end=()))


def test_a_row_whose_prompt_leaves_no_room_for_the_start_is_dropped_and_counted(tokens: Tokens) -> None:
    found = prepared(tokens, Masks(length=8), max_length=16)
    assert [len(ids) for ids in found.tokens] == [7, 3] and found.dropped == 1
    assert all(len(item.source) <= 16 for item in found.alignments)
    with pytest.raises(Failure, match="no prompt leaves room for a start of 16 tokens in sequences of 16"):
        prepared(tokens, Masks(length=16), max_length=16)


def test_columns_without_blanks_are_the_start_and_the_sequence() -> None:
    columns = aligned([5, 1, 2, 3], 1, [9, 9])
    assert [token for token in columns.source.tolist() if token != BLANK] == [5, 9, 9]
    assert [token for token in columns.goal.tolist() if token != BLANK] == [5, 1, 2, 3]


SPEC = """
version: 1
name: edits
data: {short: {sources: [./texts.jsonl], holdout: 2 rows, max_length: 16}}
stages:
  train:
    kind: sft
    model: {scratch: {family: llama, layers: 1, width: 16}, tokenizer: characters}
    data: ${data.short}
    objective: {type: edit_flow, start: {type: masks, length: 4}}
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 2 steps
compute: {device: cpu}
"""


def test_columns_are_stored_and_come_back_in_batches(tmp_path: Path) -> None:
    rows = [{"prompt": "p" * (index % 3), "response": "r" * index} for index in range(8)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    context = run_stage(compiled(tmp_path, SPEC), "train.data", tmp_path)
    tokens, splits = from_word(Characters(), tmp_path), [Split.open(context.entry.output("data"), name) for name in (TRAIN, HELD_OUT)]
    assert [len(split) for split in splits] == [6, 2]
    for split in splits:
        assert split.aligned
        for index in range(len(split)):
            sequence = split.sequence(index)
            expected = aligned(sequence.tokens, sequence.prompt, [tokens.mask] * 4)
            assert split.alignment(index) == (expected.source.tolist(), expected.goal.tolist())
    order = TrainingRows(splits[0], seed=0, batch=4, steps=1)
    batch = rows_of(collate([order[place] for place in range(4)], vocabulary=1000, pad=tokens.pad, batch=4))
    assert batch.start_BC is not None and batch.goal_BC is not None and batch.start_BC.shape == batch.goal_BC.shape
    for row, sample in enumerate(batch.sample_B.tolist()):
        start, goal = splits[0].alignment(sample)
        assert batch.start_BC[row, : len(start)].tolist() == start and bool((batch.start_BC[row, len(start) :] == BLANK).all())
        assert batch.goal_BC[row, : len(goal)].tolist() == goal and bool((batch.goal_BC[row, len(goal) :] == BLANK).all())
    moved = batch.to(torch.device("cpu"))
    assert moved.start_BC is not None and torch.equal(moved.start_BC, batch.start_BC)


def test_data_of_other_objectives_have_no_columns(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text("".join(f'{{"prompt": "p", "response": "{row}"}}\n' for row in range(4)), encoding="utf-8")
    context = run_stage(compiled(tmp_path, SPEC, "stages.train.objective=mdlm"), "train.data", tmp_path)
    split = Split.open(context.entry.output("data"), TRAIN)
    assert not split.aligned
    order = TrainingRows(split, seed=0, batch=2, steps=1)
    collated = collate([order[0], order[1]], vocabulary=1000, pad=0, batch=2)
    assert "start_BC" not in collated and rows_of(collated).start_BC is None
