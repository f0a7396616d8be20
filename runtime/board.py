"""The rows that are being filled: what they hold, where they are open, and how far each has come. B rows, L columns.

Rows enter and leave at any time and are told apart by nothing but what is written here.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .canvas import Canvas


@dataclass(slots=True, kw_only=True)
class Board:
    """Rows padded on the right."""

    tokens_BL: Tensor
    valid_BL: Tensor
    open_BL: Tensor
    """bool: what is still masked, and to be filled."""
    start_BL: Tensor
    """bool: what was open when the row entered."""
    block_BL: Tensor
    """int64: number of the window that a position belongs to."""
    share_BL: Tensor
    """int64: the steps of that window."""
    step_BL: Tensor
    """int16: the row's own step that committed a position; -1 where it was given."""
    probability_BL: Tensor
    """float32: the model's probability of the committed token; 1 where it was given."""
    stop_BL: Tensor
    """bool: where an end of text was written."""
    length_B: Tensor
    prompt_B: Tensor
    id_B: Tensor
    request_B: Tensor
    """int64: index of the row's request."""
    first_B: Tensor
    """int64: the first column that was open when the row entered."""
    ends_B: Tensor
    pass_B: Tensor
    """int64: steps that the row has made."""
    ties_B: Tensor
    """int64: choices that rounding could have turned."""

    def __len__(self) -> int:
        return len(self.id_B)

    def current_B(self) -> Tensor:
        """The number of each row's first unfinished window; beyond all numbers where the row is full."""
        return torch.where(self.open_BL, self.block_BL, BEYOND).amin(-1)

    def taken(self, kept: Tensor) -> "Board":
        """Some of the rows, and no more columns than they have."""
        width = int(self.length_B[kept].amax()) if len(kept) else 0
        found = {item.name: _of(self, item.name)[kept] for item in fields(Board)}
        return Board(**{name: value[:, :width] if value.dim() == 2 else value for name, value in found.items()})

    def joined(self, other: "Board") -> "Board":
        """These rows and behind them others."""
        width = max(self.tokens_BL.shape[1], other.tokens_BL.shape[1])
        parts = {}
        for item in fields(Board):
            mine, theirs = _of(self, item.name), _of(other, item.name)
            if mine.dim() == 2:
                mine, theirs = (torch.nn.functional.pad(one, (0, width - one.shape[1])) for one in (mine, theirs))
            parts[item.name] = torch.cat([mine, theirs])
        return Board(**parts)


BEYOND = 1 << 40
"""More than any number of windows."""


def board_of(canvas: Canvas, requests: Tensor, *, block_size: int | None, from_origin: bool, steps: int | None) -> Board:
    """The rows of a canvas before their first step; `requests` are the indices of their requests."""
    block_BL = _windows(canvas, block_size, from_origin)
    column_L = torch.arange(block_BL.shape[1], device=block_BL.device)
    zero_B = torch.zeros_like(canvas.id_B)
    return Board(
        tokens_BL=canvas.tokens_BL.clone(),
        valid_BL=canvas.valid_BL,
        open_BL=canvas.open_BL.clone(),
        start_BL=canvas.open_BL,
        block_BL=block_BL,
        share_BL=_shares(canvas.open_BL, block_BL, steps),
        step_BL=torch.full_like(block_BL, -1, dtype=torch.int16),
        probability_BL=torch.ones_like(block_BL, dtype=torch.float32),
        stop_BL=torch.zeros_like(canvas.open_BL),
        length_B=canvas.length_B,
        prompt_B=canvas.prompt_B,
        id_B=canvas.id_B,
        request_B=requests.to(canvas.id_B.device),
        first_B=torch.where(canvas.open_BL, column_L, column_L.shape[0]).amin(-1),
        ends_B=canvas.ends_B,
        pass_B=zero_B,
        ties_B=zero_B.clone(),
    )


def _of(board: Board, name: str) -> Tensor:
    found: Tensor = getattr(board, name)
    return found


def _windows(canvas: Canvas, block_size: int | None, from_origin: bool) -> Tensor:
    """Windows are counted from where the prompt ends, or from the first token of a row."""
    column_L = torch.arange(canvas.tokens_BL.shape[1], device=canvas.tokens_BL.device)
    if block_size is None:
        return torch.zeros_like(canvas.tokens_BL)
    start_B1 = torch.zeros_like(canvas.prompt_B[:, None]) if from_origin else canvas.prompt_B[:, None]
    return (column_L - start_B1).clamp(min=0) // block_size


def _shares(open_BL: Tensor, block_BL: Tensor, steps: int | None) -> Tensor:
    """How many steps each window takes, by position: of all `steps` as many as it has of all open positions; None: one a position.

    A window ends at step floor(steps x positions so far / all positions), and takes one step at least, and never more than positions.
    """
    windows = int(block_BL.max()) + 1
    count_BK = torch.zeros(len(block_BL), windows, dtype=torch.int64, device=block_BL.device)
    count_BK.scatter_add_(1, block_BL, open_BL.long())
    if steps is None:
        return count_BK.gather(1, block_BL)
    end_BK = steps * count_BK.cumsum(-1) // count_BK.sum(-1, keepdim=True).clamp(min=1)
    share_BK = end_BK - torch.nn.functional.pad(end_BK[:, :-1], (1, 0))
    return share_BK.clamp(min=1).gather(1, block_BL)
