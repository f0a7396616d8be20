"""Which edits a step makes: the chances of each, and what falls to whom by given random numbers. B rows, L columns."""

from typing import NamedTuple

import torch
from torch import Tensor

from .edit_board import EditBoard
from .edit_heads import DELETE, INSERT, SUBSTITUTE


class Chances(NamedTuple):
    """Probabilities within one step, float64; 0 where an edit is not allowed."""

    delete_BL: Tensor
    change_BL: Tensor
    """Of being deleted or substituted."""
    insert_BL: Tensor
    """Of an insertion behind the token."""


class Falls(NamedTuple):
    """What happens in a step, bool."""

    deleted_BL: Tensor
    substituted_BL: Tensor
    inserted_BL: Tensor
    """Behind the token."""


def chances(rate_BL3: Tensor, weight_B: Tensor, board: EditBoard) -> Chances:
    """First order in the step: an edit of rate u happens within h with probability h u (arXiv 2506.09018, sampling in section 3).

    `weight_B` is h kappa'(t) / (1 - kappa(t)), by which the model's rates are multiplied. A deletion and a substitution exclude each
    other: one of them happens at the sum of their rates, each in proportion to its own. Insertions are independent of both.
    """
    chance_BL3 = rate_BL3.double() * weight_B[:, None, None]
    valid_BL = board.valid_BL()
    either_BL = chance_BL3[:, :, DELETE] + chance_BL3[:, :, SUBSTITUTE]
    change_BL = torch.where(valid_BL & ~board.fixed_BL, either_BL.clamp(max=1), 0.0)
    share_BL = chance_BL3[:, :, DELETE] / either_BL.clamp(min=torch.finfo(torch.float64).tiny)
    insert_BL = torch.where(valid_BL & ~board.shut_BL, chance_BL3[:, :, INSERT].clamp(max=1), 0.0)
    return Chances(change_BL * share_BL, change_BL, insert_BL)


def falls(found: Chances, change_BL: Tensor, insert_BL: Tensor, board: EditBoard) -> Falls:
    """By one uniform for what becomes of each token and one for what comes behind it. Of insertions for which a row has no room the
    last ones are left out."""
    deleted_BL = change_BL < found.delete_BL
    substituted_BL = (change_BL < found.change_BL) & ~deleted_BL
    inserted_BL = insert_BL < found.insert_BL
    room_B = board.most_B - board.length_B + deleted_BL.sum(-1)
    return Falls(deleted_BL, substituted_BL, inserted_BL & (inserted_BL.cumsum(-1) <= room_B[:, None]))


def near(found: Chances, change_BL: Tensor, insert_BL: Tensor, within: float) -> Tensor:
    """int64 [B]: draws so close to a chance that rounding could have turned them; a rate moves by a share of itself."""
    pairs = ((change_BL, found.delete_BL), (change_BL, found.change_BL), (insert_BL, found.insert_BL))
    near_BL = [(drawn_BL - chance_BL).abs() < within * chance_BL for drawn_BL, chance_BL in pairs]
    return torch.stack(near_BL).sum((0, 2))
