"""The order of training: every row once a visit, and the same rows however a step is shared out."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.sequence import Sequence, learned_of, runs_of
from dllm_run.runtime.training_rows import InOrder, TrainingRows, collate, rows_of


class Held:
    """Stands for a split: row i holds i + 1 tokens i, the first of them given."""

    aligned = windowed = False

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def sequence(self, index: int) -> Sequence:
        return Sequence(tokens=[index] * (index + 1), runs=[1, index])


def training_rows(count: int, *, batch: int, steps: int, seed: int = 0) -> TrainingRows:
    return TrainingRows(Held(count), seed=seed, batch=batch, steps=steps)  # type: ignore[arg-type]


def test_every_row_comes_once_a_visit_and_each_visit_has_its_own_order() -> None:
    rows = training_rows(7, batch=4, steps=7)
    items = [rows[place] for place in InOrder(rows)]
    assert len(items) == 28
    visits = [items[start : start + 7] for start in range(0, 28, 7)]
    for number, visit in enumerate(visits):
        assert sorted(item["sample"] for item in visit) == list(range(7))
        assert {item["visit"] for item in visit} == {number}
    assert len({tuple(item["sample"] for item in visit) for visit in visits}) == 4


def test_batches_run_across_the_edges_of_epochs_without_a_gap() -> None:
    rows = training_rows(5, batch=4, steps=5)
    steps = [[rows[place] for place in range(start, start + 4)] for start in range(0, 20, 4)]
    assert [[item["slot"] for item in step] for step in steps] == [[0, 1, 2, 3]] * 5
    assert [item["visit"] for item in steps[1]] == [0, 1, 1, 1]
    assert len(rows) == len(InOrder(rows)) == 20


def test_a_batch_larger_than_the_data_holds_rows_of_several_visits() -> None:
    rows = training_rows(3, batch=8, steps=1)
    items = [rows[place] for place in range(8)]
    assert [item["visit"] for item in items] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert sorted(item["sample"] for item in items[:3]) == [0, 1, 2]


def test_items_may_be_asked_for_in_any_order() -> None:
    rows = training_rows(5, batch=4, steps=10)
    forwards = [rows[place] for place in range(40)]
    assert [rows[place] for place in reversed(range(40))] == forwards[::-1]


def test_another_seed_is_another_order() -> None:
    one, two = (
        [rows[place]["sample"] for place in range(20)] for rows in (training_rows(20, batch=4, steps=5, seed=seed) for seed in (0, 1))
    )
    assert one != two


def test_a_row_carries_its_own_tokens() -> None:
    rows = training_rows(6, batch=2, steps=3)
    for place in range(6):
        item = rows[place]
        assert item["sequence"] == Sequence(tokens=[item["sample"]] * (item["sample"] + 1), runs=[1, item["sample"]])


@pytest.mark.parametrize("micro", [1, 2, 3, 6])
def test_micro_batches_share_out_the_same_rows(micro: int) -> None:
    rows = training_rows(4, batch=6, steps=4)

    def batches(size: int) -> list[dict[str, Any]]:
        loader = torch.utils.data.DataLoader(
            rows, batch_size=size, sampler=InOrder(rows), collate_fn=lambda items: collate(items, pad=99, batch=6, vocabulary=100)
        )
        return list(loader)

    parts, wholes = [rows_of(inputs) for inputs in batches(micro)], [rows_of(inputs) for inputs in batches(6)]
    for name in ("sample_B", "visit_B", "slot_B"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), torch.cat([getattr(whole, name) for whole in wholes]))
    assert {part.batch for part in parts} == {6}


def test_a_collated_batch_is_padded_on_the_right_and_read_back() -> None:
    rows = training_rows(3, batch=3, steps=1)
    items = sorted((rows[place] for place in range(3)), key=lambda item: item["sample"])
    found = rows_of(collate(items, pad=99, batch=3, vocabulary=100))
    assert found.tokens_BL.tolist() == [[0, 99, 99], [1, 1, 99], [2, 2, 2]]
    assert found.valid_BL.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert found.maskable_BL.tolist() == [[False, False, False], [False, True, False], [False, True, True]]
    assert found.sample_B.tolist() == [0, 1, 2] and found.batch == 3


def test_a_token_that_the_model_has_no_row_for_is_refused_with_the_row_of_the_data() -> None:
    rows = training_rows(3, batch=3, steps=1)
    with pytest.raises(Failure, match=r"row 2 of the data holds token 2, and the vocabulary of the model has 2"):
        collate([rows[place] for place in range(3)], pad=0, batch=3, vocabulary=2)


def collated(*sequences: Sequence, pad: int = 9) -> Any:
    items: list[Any] = [{"sequence": found, "sample": index, "visit": 0, "slot": index} for index, found in enumerate(sequences)]
    return rows_of(collate(items, pad=pad, batch=len(items), vocabulary=10))


def test_what_is_learned_lies_between_what_is_given() -> None:
    found = collated(Sequence(tokens=[1, 2, 3, 4, 5, 6], runs=[2, 1, 2, 1]), Sequence(tokens=[7, 8], runs=[0, 2]))
    assert found.maskable_BL.tolist() == [[False, False, True, False, False, True], [True, True, False, False, False, False]]
    assert found.document_BL is None


def test_texts_that_share_a_row_are_told_apart_and_padding_belongs_to_none() -> None:
    two = Sequence(tokens=[1, 2, 3, 4, 5], runs=[0, 5], documents=[3, 2])
    found = collated(two, Sequence(tokens=[6] * 7, runs=[0, 7], documents=[7]), Sequence(tokens=[7], runs=[0, 1]))
    assert found.document_BL.tolist() == [[0, 0, 0, 1, 1, 2, 2], [0] * 7, [0] * 7]
    assert found.to(torch.device("cpu")).document_BL.tolist() == found.document_BL.tolist()


@given(st.lists(st.booleans(), max_size=20))
def test_runs_say_of_every_token_whether_it_is_learned(learned: list[bool]) -> None:
    runs = runs_of(learned)
    assert learned_of(runs) == learned
    assert all(length > 0 for length in runs[1:])
