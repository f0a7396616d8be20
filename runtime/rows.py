"""A batch of sequences as tensors. B rows, L positions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .align import BLANK

Aligned = tuple[list[int], list[int]]
"""Columns of a sequence's start and of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Clean sequences, padded on the right, with what identifies their noise."""

    tokens_BL: Tensor
    """int64."""
    valid_BL: Tensor
    """bool: False on padding, which nobody attends to."""
    maskable_BL: Tensor
    """bool: may be masked, and is then learned."""
    sample_B: Tensor
    """int64: which row of the data set."""
    visit_B: Tensor
    """int64: how often that row was seen before."""
    slot_B: Tensor
    """int64: place within the global batch, 0 to `batch` - 1."""
    batch: int
    """Rows of the global batch."""
    document_BL: Tensor | None = None
    """int64: which of the texts that were joined a token belongs to; None: a row is one text."""
    start_BC: Tensor | None = None
    """int64, for edits: the columns of the text at the start, BLANK where it has no token; None: rows are not edited."""
    goal_BC: Tensor | None = None
    """int64: the same columns of the clean sequence."""

    def to(self, device: torch.device) -> "Rows":
        """The same rows on another device."""
        return Rows(
            tokens_BL=self.tokens_BL.to(device),
            valid_BL=self.valid_BL.to(device),
            maskable_BL=self.maskable_BL.to(device),
            sample_B=self.sample_B.to(device),
            visit_B=self.visit_B.to(device),
            slot_B=self.slot_B.to(device),
            batch=self.batch,
            document_BL=None if self.document_BL is None else self.document_BL.to(device),
            start_BC=None if self.start_BC is None else self.start_BC.to(device),
            goal_BC=None if self.goal_BC is None else self.goal_BC.to(device),
        )


def pad_rows(
    sequences: list[list[int]],
    prompts: list[int],
    *,
    pad: int,
    samples: list[int],
    visits: list[int],
    slots: list[int],
    batch: int,
    aligned: list[Aligned] | None = None,
    learned: list[list[bool] | None] | None = None,
    documents: list[list[int] | None] | None = None,
) -> Rows:
    """Rows from token lists; the first `prompts[b]` tokens of row b are given, never masked. `aligned`: for edits.

    `learned`: where it is not None, it says for every token of a row whether it may be masked. `documents`: lengths of the texts that
    share a row.
    """
    tokens_BL = _padded(sequences, pad)
    column_L = torch.arange(tokens_BL.shape[1])
    valid_BL = column_L < torch.tensor([len(tokens) for tokens in sequences])[:, None]
    maskable_BL = valid_BL & (column_L >= torch.tensor(prompts)[:, None])
    for index, said in enumerate(learned or ()):
        if said is not None:
            maskable_BL[index, : len(said)] = torch.tensor(said)
    return Rows(
        tokens_BL=tokens_BL,
        valid_BL=valid_BL,
        maskable_BL=maskable_BL,
        sample_B=torch.tensor(samples),
        visit_B=torch.tensor(visits),
        slot_B=torch.tensor(slots),
        batch=batch,
        document_BL=_numbered(documents, tokens_BL.shape[1]),
        start_BC=None if aligned is None else _padded([start for start, _ in aligned], BLANK),
        goal_BC=None if aligned is None else _padded([goal for _, goal in aligned], BLANK),
    )


def _numbered(documents: list[list[int] | None] | None, length: int) -> Tensor | None:
    """The number of the text within its row that a token belongs to, padding counted as one more; None where no row has several."""
    if documents is None or not any(documents):
        return None
    found = torch.zeros(len(documents), length, dtype=torch.int64)
    for index, lengths in enumerate(documents):
        if lengths is not None:
            ends_D = torch.tensor(lengths).cumsum(0)
            found[index] = torch.searchsorted(ends_D, torch.arange(length), right=True)
    return found


def _padded(lists: list[list[int]], fill: int) -> Tensor:
    found = torch.full((len(lists), max(map(len, lists))), fill, dtype=torch.int64)
    for index, numbers in enumerate(lists):
        found[index, : len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return found
