"""The order of training: which row stands where in which step. One long sequence of rows, whatever shares it among processes."""

from collections.abc import Callable, Iterator
from typing import Any, NotRequired, TypedDict

import torch
from torch.utils.data import Dataset, Sampler

from .failure import Failure
from .noise import Stream
from .order import Order, bucketed, shuffled, windowed
from .prepared import Sequences
from .rows import Aligned, Rows, pad_rows
from .sequence import Sequence


class Item(TypedDict):
    """One row of one step."""

    sequence: Sequence
    sample: int
    visit: int
    slot: int
    aligned: NotRequired[Aligned]


class TrainingRows(Dataset[Item]):
    """Row k of the run: visit k // N of the data, in that visit's own order. Epochs have no edges, batches run across them.

    With `bucketing` rows change places within so many batches, so that those of one length come together.
    """

    def __init__(self, split: Sequences, *, seed: int, batch: int, steps: int, bucketing: int | None = None) -> None:
        self.split = split
        self.seed = seed
        self.batch = batch
        self.steps = steps
        self.bucketing = bucketing
        self._order, self._place = self._made()

    def _made(self) -> tuple[Order, Callable[[int], int]]:
        stream, count = Stream(self.seed, "order"), len(self.split)
        order = windowed(stream, count) if self.split.windowed else shuffled(stream, count)
        if self.bucketing is None:
            return order, lambda place: place
        lengths = self.split.lengths()

        def length(place: int) -> int:
            return int(lengths[order(*divmod(place, count))])

        found = bucketed(Stream(self.seed, "buckets"), length, batch=self.batch, batches=self.bucketing, total=len(self))
        return order, found

    def __getstate__(self) -> dict[str, Any]:
        # Orders are functions, which are made anew in a process that loads rows.
        return {name: value for name, value in vars(self).items() if name not in ("_order", "_place")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._order, self._place = self._made()

    def __len__(self) -> int:
        return self.batch * self.steps

    def __getitem__(self, place: int) -> Item:
        visit, offset = divmod(self._place(place), len(self.split))
        sample = self._order(visit, offset)
        item: Item = {"sequence": self.split.sequence(sample), "sample": sample, "visit": visit, "slot": place % self.batch}
        return {**item, "aligned": self.split.alignment(sample)} if self.split.aligned else item


class InOrder(Sampler[int]):
    """The places of a run, one after the other."""

    def __init__(self, rows: TrainingRows) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.rows)))

    def __len__(self) -> int:
        return len(self.rows)


def collate(items: list[Item], *, pad: int, batch: int, vocabulary: int) -> dict[str, Any]:
    """A micro batch as the map of tensors that Trainer moves about; `rows_of` reads it back. Raises Failure for a token that is none."""
    for item in items:
        largest = max(item["sequence"].tokens)
        if largest >= vocabulary:
            text = f"row {item['sample']} of the data holds token {largest}"
            raise Failure(f"{text}, and the vocabulary of the model has {vocabulary}: it was prepared with another tokenizer")
    rows = pad_rows(
        [item["sequence"].tokens for item in items],
        [item["sequence"].prompt for item in items],
        pad=pad,
        samples=[item["sample"] for item in items],
        visits=[item["visit"] for item in items],
        slots=[item["slot"] for item in items],
        batch=batch,
        aligned=[item["aligned"] for item in items] if "aligned" in items[0] else None,
        learned=[item["sequence"].learned for item in items],
        documents=[item["sequence"].documents for item in items],
    )
    names = ("tokens_BL", "valid_BL", "maskable_BL", "sample_B", "visit_B", "slot_B", "document_BL", "start_BC", "goal_BC")
    tensors = {name: getattr(rows, name) for name in names}
    return {**{name: tensor for name, tensor in tensors.items() if tensor is not None}, "batch": torch.tensor(batch)}


def rows_of(inputs: dict[str, Any]) -> Rows:
    """The rows of a collated micro batch."""
    return Rows(**{**inputs, "batch": int(inputs["batch"])})
