"""Ties: choices so close that the rounding of another batch could turn them. B rows, R scored positions, C committed ones."""

import torch
from torch import Tensor

from .proposal import Proposed

WITHIN = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""By the precision of the network: how far the shapes of a batch were seen to move a logit, and some more."""


def tied(precision: torch.dtype, rows: int, row_R: Tensor, proposed: Proposed, chosen_R: Tensor, near_B: Tensor) -> Tensor:
    """int64 [B]: near choices of each row at this step: of tokens, and of the positions that are committed."""
    within = WITHIN[precision]
    if proposed.edge_R is not None:
        # A token that was not committed has lent its confidence to the ranking.
        near_R = proposed.edge_R < within
    else:
        weight_CX = proposed.own.weight_RX[chosen_R]
        near_R = torch.zeros_like(chosen_R)
        if weight_CX.shape[-1] > 1:
            # Of equals in weight the logarithm is that of the ratio of the two most probable tokens.
            first = weight_CX.topk(2, -1).values
            near_R[chosen_R] = first[:, 1] > first[:, 0] * (1 - within)
    return torch.bincount(row_R[near_R], minlength=rows) + (near_B < within).long()
