"""The canvas: token rows with open positions to fill. Generation is infilling of a canvas whose tail is open. B rows, L columns."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One row before it is laid out."""

    tokens: list[int]
    """With the mask token where it is open."""
    id: int
    """What its random numbers hang on: never its place in a batch."""
    prompt: int = 0
    """Leading tokens that do not count into blocks: blocks start after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Rows padded on the left, so that the ends of all rows line up."""

    tokens_BL: Tensor
    valid_BL: Tensor
    open_BL: Tensor
    """bool: what is to be filled."""
    position_BL: Tensor
    """int64: index within the row's own tokens; negative on padding."""
    prompt_B: Tensor
    id_B: Tensor


def lay_out(requests: list[Request], *, mask_token: int, pad: int, device: torch.device) -> Canvas:
    """A canvas of several requests."""
    length = max(len(request.tokens) for request in requests)
    tokens_BL = torch.full((len(requests), length), pad, dtype=torch.int64)
    for index, request in enumerate(requests):
        tokens_BL[index, length - len(request.tokens) :] = torch.tensor(request.tokens, dtype=torch.int64)
    start_B = torch.tensor([length - len(request.tokens) for request in requests])
    position_BL = torch.arange(length) - start_B[:, None]
    valid_BL = position_BL >= 0
    return Canvas(
        tokens_BL=tokens_BL.to(device),
        valid_BL=valid_BL.to(device),
        open_BL=((tokens_BL == mask_token) & valid_BL).to(device),
        position_BL=position_BL.to(device),
        prompt_B=torch.tensor([request.prompt for request in requests]).to(device),
        id_B=torch.tensor([request.id for request in requests]).to(device),
    )
