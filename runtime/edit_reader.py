"""What the heads for edits say of rows: read again only where a text has changed. B rows, L columns, S rows to be read, D width."""

from collections.abc import Callable

import torch
from torch import Tensor

from .denoiser import Denoiser
from .edit_board import EditBoard
from .edit_heads import Edits, read
from .ledger import Ledger
from .seen import everyone


class EditReader:
    """One forward pass for all rows that need one. The heads see no time: of the same text they say the same."""

    def __init__(self, denoiser: Denoiser, ledger: Ledger) -> None:
        self.denoiser = denoiser
        self.ledger = ledger
        self._known: Edits | None = None

    def keep(self, kept: Tensor) -> None:
        """Only these rows are left."""
        if self._known is not None:
            self._known = _each(self._known, lambda part: part[kept])

    def read(self, board: EditBoard) -> Edits:
        """Of all rows; padding has any values."""
        size = board.tokens_BL.shape
        row_S = board.stale_B.nonzero()[:, 0]
        if len(row_S):
            width = int(board.length_B[row_S].max())
            found = self._read(board, row_S, width)
            if len(row_S) == size[0]:
                self._known = found
            else:
                known = _fitted(self._known or found, size)
                for part, new in zip(known, found, strict=True):
                    part[row_S, :width] = new
                self._known = known
            board.stale_B = torch.zeros_like(board.stale_B)
        assert self._known is not None, "rows that enter were never read"
        self._known = _fitted(self._known, size)
        return self._known

    def _read(self, board: EditBoard, row_S: Tensor, width: int) -> Edits:
        valid_SL = board.valid_BL()[row_S, :width]
        tokens_SL = board.tokens_BL[row_S, :width].masked_fill(~valid_SL, self.denoiser.mask_token)
        self.ledger.read(tokens_SL.numel(), width)
        return read(self.denoiser, tokens_SL, everyone(valid_SL))


def _fitted(edits: Edits, size: torch.Size) -> Edits:
    """With as many rows and columns as there are now."""

    def one(part: Tensor) -> Tensor:
        if part.shape[:2] == size:
            return part
        found = part.new_zeros(*size, part.shape[2])
        rows, columns = (min(here, there) for here, there in zip(part.shape[:2], size, strict=True))
        found[:rows, :columns] = part[:rows, :columns]
        return found

    return _each(edits, one)


def _each(edits: Edits, change: Callable[[Tensor], Tensor]) -> Edits:
    rate_BL3, features_BLD = change(edits.rate_BL3), change(edits.features_BLD)
    # One tensor unless logits are shifted: it stays one.
    about_BLD = features_BLD if edits.about_BLD is edits.features_BLD else change(edits.about_BLD)
    return Edits(rate_BL3, features_BLD, about_BLD)
