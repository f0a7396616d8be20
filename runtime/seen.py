"""Who sees whom: which tokens of a batch there are, where they stand, and which of them each attends to. B rows, L positions."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The attention of one forward pass, before an architecture puts it into its own form."""

    valid_BL: Tensor
    """bool: what is no padding."""
    position_BL: Tensor | None = None
    """int64 from 0; None: 0 to L - 1."""
    mask_BLL: Tensor | None = None
    """bool [1 or B, L, L], query by key, padding included; None: every token sees every valid one."""


def everyone(valid_BL: Tensor, document_BL: Tensor | None = None) -> Seen:
    """Every token sees every valid one, of its own document where rows are packed. Positions count valid tokens, within a document."""
    if document_BL is not None:
        mask_BLL = _with_self(_same(document_BL) & valid_BL[:, None, :])
        return Seen(valid_BL=valid_BL, position_BL=within(document_BL, valid_BL), mask_BLL=mask_BLL)
    if bool(valid_BL.all()):
        return Seen(valid_BL=valid_BL)
    return Seen(valid_BL=valid_BL, position_BL=_counted(valid_BL))


def block_causal(valid_BL: Tensor, block_size: int, document_BL: Tensor | None = None) -> Seen:
    """A token sees its own block and all before it; blocks start at the first token of a row, or of a document."""
    if document_BL is None and bool(valid_BL.all()):
        return Seen(valid_BL=valid_BL, mask_BLL=_blocks(valid_BL.shape[1], block_size, valid_BL.device))
    position_BL = _counted(valid_BL) if document_BL is None else within(document_BL, valid_BL)
    block_BL = position_BL // block_size
    mask_BLL = (block_BL[:, None, :] <= block_BL[:, :, None]) & valid_BL[:, None, :]
    if document_BL is not None:
        mask_BLL = mask_BLL & _same(document_BL)
    return Seen(valid_BL=valid_BL, position_BL=position_BL, mask_BLL=_with_self(mask_BLL))


@lru_cache(maxsize=16)
def _blocks(length: int, block_size: int, device: torch.device) -> Tensor:
    """Cached: it is the same in every step."""
    block_L = torch.arange(length, device=device) // block_size
    return (block_L[None, :] <= block_L[:, None])[None]


def _counted(valid_BL: Tensor) -> Tensor:
    return (valid_BL.cumsum(-1) - 1).clamp_(min=0)


def within(document_BL: Tensor, valid_BL: Tensor) -> Tensor:
    """Positions that start again with every document. Documents lie one after the other."""
    place_L = torch.arange(document_BL.shape[1], device=document_BL.device)
    starts_BL = torch.ones_like(document_BL, dtype=torch.bool)
    starts_BL[:, 1:] = document_BL[:, 1:] != document_BL[:, :-1]
    starts_BL[:, 1:] |= ~valid_BL[:, :-1]
    first_BL = torch.where(starts_BL, place_L, 0).cummax(-1).values
    return place_L - first_BL


def _same(document_BL: Tensor) -> Tensor:
    return document_BL[:, None, :] == document_BL[:, :, None]


def _with_self(mask_BLL: Tensor) -> Tensor:
    # A query that sees nothing has no softmax: padding sees at least itself, and nobody reads what it makes of that.
    return mask_BLL | torch.eye(mask_BLL.shape[1], dtype=torch.bool, device=mask_BLL.device)
