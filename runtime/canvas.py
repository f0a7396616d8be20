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
    """Leading tokens that do not count into blocks, where these start after them."""
    ends: bool = False
    """Whether the row is over at the first end of text, or of a message, that is written: what would follow does not matter."""
    until: tuple[str, ...] = ()
    """Texts at whose first appearance behind the prompt the row is over, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Rows padded on the right, so that a column is a position."""

    tokens_BL: Tensor
    valid_BL: Tensor
    open_BL: Tensor
    """bool: what is to be filled."""
    length_B: Tensor
    prompt_B: Tensor
    id_B: Tensor
    ends_B: Tensor


def lay_out(requests: list[Request], *, mask_token: int, pad: int, device: torch.device) -> Canvas:
    """A canvas of several requests."""
    length_B = torch.tensor([len(request.tokens) for request in requests])
    tokens_BL = torch.full((len(requests), int(length_B.max())), pad, dtype=torch.int64)
    for index, request in enumerate(requests):
        tokens_BL[index, : len(request.tokens)] = torch.tensor(request.tokens, dtype=torch.int64)
    valid_BL = torch.arange(tokens_BL.shape[1]) < length_B[:, None]
    return Canvas(
        tokens_BL=tokens_BL.to(device),
        valid_BL=valid_BL.to(device),
        open_BL=((tokens_BL == mask_token) & valid_BL).to(device),
        length_B=length_B.to(device),
        prompt_B=torch.tensor([request.prompt for request in requests]).to(device),
        id_B=torch.tensor([request.id for request in requests]).to(device),
        ends_B=torch.tensor([request.ends for request in requests]).to(device),
    )
