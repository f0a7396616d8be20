"""The rows that are being edited: what they hold, what of it is given, and how far each has come. B rows, L columns.

Rows are padded on the right and enter and leave at any time. A step may change the length of each.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from .canvas import Canvas

GIVEN, UNTOUCHED = -1, -2
"""In the place of a step: a token of the request, and one of the start that no edit has touched."""


@dataclass(slots=True, kw_only=True)
class EditBoard:
    """Rows on their way from their start."""

    tokens_BL: Tensor
    step_BL: Tensor
    """int64: the row's own step that wrote a token; GIVEN or UNTOUCHED."""
    probability_BL: Tensor
    """float32: the model's probability of a token that was written; 1 of the others."""
    fixed_BL: Tensor
    """bool: never deleted nor substituted."""
    shut_BL: Tensor
    """bool: nothing is inserted behind it."""
    length_B: Tensor
    most_B: Tensor
    """int64: the length that a row never exceeds."""
    id_B: Tensor
    request_B: Tensor
    """int64: index of the row's request."""
    ends_B: Tensor
    pass_B: Tensor
    """int64: steps that the row has made."""
    ties_B: Tensor
    """int64: choices that rounding could have turned."""
    stale_B: Tensor
    """bool: its text is not the one that was last read."""

    def __len__(self) -> int:
        return len(self.id_B)

    def column_L(self) -> Tensor:
        """Numbers of the columns."""
        return torch.arange(self.tokens_BL.shape[1], device=self.tokens_BL.device)

    def valid_BL(self) -> Tensor:
        """What is no padding."""
        return self.column_L() < self.length_B[:, None]

    def taken(self, kept: Tensor) -> "EditBoard":
        """Some of the rows, and no more columns than they have."""
        width = int(self.length_B[kept].amax()) if len(kept) else 0
        found = {item.name: _of(self, item.name)[kept] for item in fields(EditBoard)}
        return EditBoard(**{name: value[:, :width] if value.dim() == 2 else value for name, value in found.items()})

    def joined(self, other: "EditBoard") -> "EditBoard":
        """These rows and behind them others."""
        width = max(self.tokens_BL.shape[1], other.tokens_BL.shape[1])
        parts = {}
        for item in fields(EditBoard):
            mine, theirs = _of(self, item.name), _of(other, item.name)
            if mine.dim() == 2:
                mine, theirs = (torch.nn.functional.pad(one, (0, width - one.shape[1])) for one in (mine, theirs))
            parts[item.name] = torch.cat([mine, theirs])
        return EditBoard(**parts)


def board_of(canvas: Canvas, requests: Tensor, start_S: Tensor, *, draft: int | None) -> EditBoard:
    """The rows of a canvas at t = 0: in the place of each run of open positions stands the start, or as much of it as the run is long.

    What is given is never edited, nor is anything inserted between two given tokens or behind a last one. `draft`: only so many tokens
    of each row are given, the others are edited like all that follows.
    """
    column_L = torch.arange(canvas.tokens_BL.shape[1], device=canvas.tokens_BL.device)
    given_BL = canvas.valid_BL & ~canvas.open_BL
    assert bool(given_BL[:, 0].all()), "a row begins with a token that is given: without one there is no place to insert at"
    # Where in its run an open position stands.
    before_BL = torch.where(canvas.open_BL, -1, column_L).cummax(-1).values
    inside_BL = column_L - before_BL - 1
    kept_BL = given_BL | (canvas.open_BL & (inside_BL < len(start_S)))
    # A start of nothing still has a token to look up, which none of the kept positions does.
    source_S = start_S if len(start_S) else start_S.new_zeros(1)
    tokens_BL = torch.where(canvas.open_BL, source_S[inside_BL.clamp(0, len(source_S) - 1)], canvas.tokens_BL)
    opens_BL = torch.nn.functional.pad(canvas.open_BL[:, 1:], (0, 1))
    fixed_BL, shut_BL = given_BL, given_BL & ~opens_BL
    if draft is not None:
        fixed_BL, shut_BL = given_BL & (column_L < draft), given_BL & (column_L < draft - 1)
    zero_B = torch.zeros_like(canvas.id_B)
    whole = EditBoard(
        tokens_BL=tokens_BL,
        step_BL=torch.where(given_BL, GIVEN, UNTOUCHED),
        probability_BL=torch.ones_like(tokens_BL, dtype=torch.float32),
        fixed_BL=fixed_BL,
        shut_BL=shut_BL,
        length_B=canvas.length_B,
        most_B=canvas.length_B,
        id_B=canvas.id_B,
        request_B=requests.to(canvas.id_B.device),
        ends_B=canvas.ends_B,
        pass_B=zero_B,
        ties_B=zero_B.clone(),
        stale_B=torch.ones_like(canvas.ends_B),
    )
    return rebuilt(whole, canvas.valid_BL & ~kept_BL, torch.zeros_like(kept_BL), tokens_BL, whole.probability_BL)


def rebuilt(board: EditBoard, deleted_BL: Tensor, inserted_BL: Tensor, token_BL: Tensor, probability_BL: Tensor) -> EditBoard:
    """The rows without what is deleted, and behind each place of `inserted_BL` its token of `token_BL`."""
    kept_BL = board.valid_BL() & ~deleted_BL
    end_BL = (kept_BL.long() + inserted_BL.long()).cumsum(-1)
    length_B = end_BL[:, -1]
    width = int(length_B.max())
    # What is to go stands in one more column, which is cut off.
    old_BL = torch.where(kept_BL, end_BL - 1 - inserted_BL.long(), width)
    new_BL = torch.where(inserted_BL, end_BL - 1, width)

    def laid(kept: Tensor, new: Tensor) -> Tensor:
        found = torch.zeros(len(kept), width + 1, dtype=kept.dtype, device=kept.device)
        return found.scatter_(1, old_BL, kept).scatter_(1, new_BL, new.to(kept.dtype))[:, :width]

    no_BL = torch.zeros_like(deleted_BL)
    return replace(
        board,
        tokens_BL=laid(board.tokens_BL, token_BL),
        step_BL=laid(board.step_BL, board.pass_B[:, None].expand_as(token_BL)),
        probability_BL=laid(board.probability_BL, probability_BL),
        fixed_BL=laid(board.fixed_BL, no_BL),
        shut_BL=laid(board.shut_BL, no_BL),
        length_B=length_B,
    )


def _of(board: EditBoard, name: str) -> Tensor:
    found: Tensor = getattr(board, name)
    return found
