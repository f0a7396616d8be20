"""Rows cut into blocks: noisy copies of a row read in one pass beside the clean row. B rows, L positions, S those of a pass.

A pass is [copy 1; …; copy n; clean]: S = n L + C. Blocks start at the first token of a row, or of a document. A noisy token sees its own
block of its own copy and all clean blocks before it, a clean token its own clean block and all before it. Nobody sees the clean tokens
of a row's last block, so C leaves them out where all rows are cut alike.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .rows import Rows
from .seen import Seen, everyone, within


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """How rows are cut. X is 1 where all rows are cut alike, else B."""

    number_XL: Tensor
    """int64: the block of each position, counted along the row."""
    start_XL: Tensor
    """bool: the first position of a block."""
    first_XL: Tensor
    """bool: the first position of a row or document, before which there is nothing."""
    clean: int
    """C."""


def cut(rows: Rows, block_size: int) -> Blocks:
    """The blocks of rows, the last of each row or document as short as it comes."""
    length = rows.tokens_BL.shape[1]
    if rows.document_BL is None:
        place_XL = torch.arange(length, device=rows.tokens_BL.device)[None]
        clean = (length - 1) // block_size * block_size
    else:
        place_XL = within(rows.document_BL, rows.valid_BL)
        clean = length
    start_XL = place_XL % block_size == 0
    return Blocks(number_XL=start_XL.cumsum(-1) - 1, start_XL=start_XL, first_XL=place_XL == 0, clean=clean)


def beside(rows: Rows, block_size: int, copies: int) -> Seen:
    """Who sees whom in a pass."""
    blocks = cut(rows, block_size)
    if not blocks.clean and copies == 1:
        return everyone(rows.valid_BL)
    count, length = rows.tokens_BL.shape
    kept = slice(0, blocks.clean)
    valid_BS = torch.cat([rows.valid_BL] * copies + [rows.valid_BL[:, kept]], 1)
    if rows.document_BL is None:
        place_XL = torch.arange(length, device=valid_BS.device)[None]
        mask_XSS = _alike(length, block_size, copies, valid_BS.device)
        if not bool(valid_BS.all()):
            mask_XSS = _with_self(mask_XSS & valid_BS[:, None, :])
    else:
        place_XL = within(rows.document_BL, rows.valid_BL)
        document_BS = torch.cat([rows.document_BL] * copies + [rows.document_BL[:, kept]], 1)
        same_BSS = document_BS[:, None, :] == document_BS[:, :, None]
        mask_XSS = _with_self(_visible(blocks.number_XL, copies, blocks.clean) & same_BSS & valid_BS[:, None, :])
    place_XS = torch.cat([place_XL] * copies + [place_XL[:, kept]], 1)
    return Seen(valid_BL=valid_BS, position_BL=place_XS.expand(count, -1), mask_BLL=mask_XSS)


def speakers(blocks: Blocks, copies: int, logit_shift: int) -> list[Tensor]:
    """For each copy the places [X, L] in a pass whose hidden states speak of its positions.

    With a logit shift the place before speaks: in the copy within a block, in the clean row for the first token of a block, as when
    sampling, where the blocks before are done. The first token of all has but itself.
    """
    length = blocks.number_XL.shape[1]
    here_L = torch.arange(length, device=blocks.number_XL.device)
    if not logit_shift:
        return [(here_L + copy * length).expand_as(blocks.number_XL) for copy in range(copies)]
    found = []
    for copy in range(copies):
        before_XL = torch.where(blocks.start_XL, copies * length + here_L - 1, copy * length + here_L - 1)
        found.append(torch.where(blocks.first_XL, copy * length + here_L, before_XL))
    return found


@lru_cache(maxsize=8)
def _alike(length: int, block_size: int, copies: int, device: torch.device) -> Tensor:
    """Cached: without padding and documents it is the same in every step."""
    # What is made while evaluating may be met by training, whose graph cannot hold inference tensors.
    with torch.inference_mode(False):
        number_1L = (torch.arange(length, device=device) // block_size)[None]
        return _visible(number_1L, copies, (length - 1) // block_size * block_size)


def _visible(number_XL: Tensor, copies: int, clean: int) -> Tensor:
    """bool [X, S, S], query by key: what the order of the blocks lets through."""
    length = number_XL.shape[1]
    number_XS = torch.cat([number_XL] * copies + [number_XL[:, :clean]], 1)
    place_S = torch.arange(number_XS.shape[1], device=number_XL.device)
    copy_S = place_S // length
    is_clean_S = place_S >= copies * length
    query_XS1, key_X1S = number_XS[:, :, None], number_XS[:, None, :]
    own_XSS = (copy_S[:, None] == copy_S[None, :]) & (query_XS1 == key_X1S)
    return own_XSS | (is_clean_S[None, None, :] & (key_X1S < query_XS1))


def _with_self(mask_XSS: Tensor) -> Tensor:
    # A query that sees nothing has no softmax: padding sees at least itself, and nobody reads what it makes of that.
    return mask_XSS | torch.eye(mask_XSS.shape[1], dtype=torch.bool, device=mask_XSS.device)
