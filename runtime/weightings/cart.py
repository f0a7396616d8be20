"""w_i = sum over clean j of p (1 - p)^(|i - j| - 1) / 2: context-adaptive rescheduling (Dream, arXiv 2508.15487). B rows, L positions."""

import functools

import torch
from torch import Tensor
from torch.nn.functional import pad

from dllm_run.specs.vocabulary.weightings.cart import Cart

from ..rows import Rows
from ..schedules import Schedule
from . import Weighting


def clean_nearby(schedule: Schedule, time_BX: Tensor, masked_BL: Tensor, rows: Rows, *, p: float) -> Tensor:
    """[B, L], at most 1, whatever the time: how much clean text of its own document stands close to a token, on both sides."""
    clean_BL = (rows.valid_BL & ~masked_BL).to(time_BX.dtype)
    left_BL = _before(clean_BL, rows.document_BL, 1 - p)
    document_BL = None if rows.document_BL is None else rows.document_BL.flip(-1)
    right_BL = _before(clean_BL.flip(-1), document_BL, 1 - p).flip(-1)
    return p / 2 * (left_BL + right_BL)


def _before(value_BL: Tensor, document_BL: Tensor | None, share: float) -> Tensor:
    """Sum over j < i, in the document of i, of share^(i - j - 1) value_j: one column at a time would be one kernel a column.

    Doubling (Hillis and Steele, CACM 1986): if f sums the s tokens up to i, then f_i + share^s f_(i-s) sums 2 s. Documents lie one
    after the other, so where i - s is in the document of i, all between are.
    """
    sum_BL, reach, length = value_BL, 1, value_BL.shape[-1]
    while reach < length:
        sum_BL = sum_BL + share**reach * _moved(sum_BL, document_BL, reach)
        reach *= 2
    return _moved(sum_BL, document_BL, 1)


def _moved(value_BL: Tensor, document_BL: Tensor | None, by: int) -> Tensor:
    """To each position what stood `by` before it in its document."""
    moved_BL = pad(value_BL[:, :-by], (by, 0))
    if document_BL is None:
        return moved_BL
    same_BL = pad(document_BL[:, by:] == document_BL[:, :-by], (by, 0))
    return torch.where(same_BL, moved_BL, 0)


def build(word: Cart) -> Weighting:
    """The weighting of the word."""
    return functools.partial(clean_nearby, p=word.p)
