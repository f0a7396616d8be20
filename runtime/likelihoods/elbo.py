"""A fixed number of masks in every draw, and every mask once where a text has so few tokens that all masks are no more than the draws.

With n scored tokens there are 2^n - 1 masks, and the bound weighs the cross-entropy under a mask of k tokens with the beta function
B(k, n - k + 1) = (k - 1)! (n - k)! / n!, the integral of t^(k - 1) (1 - t)^(n - k).
"""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.likelihoods.elbo import Elbo

from ..denoiser import Denoiser
from ..likelihood import counted_masks, share_of, summed, uniform_of
from ..noise import Stream
from ..rows import Rows
from . import Estimator, nll_of, place_of


def build(word: Elbo) -> Estimator:
    """The estimator of the word."""

    def exact(scored: int) -> bool:
        return _masks(scored) <= word.samples

    def value(denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        share_B = share_of(rows, stream) if word.time_sampling == "stratified" else uniform_of(rows, stream).double()
        masked_BL, weight_B = counted_masks(rows, share_B, place_of(rows), stream)
        scored = rows.maskable_BL.sum(-1).tolist()
        exact_B = torch.tensor([exact(count) for count in scored], device=masked_BL.device)
        bits_BL = (rows.visit_B[:, None] + 1) >> place_of(rows).clamp(min=0, max=62)
        masked_BL = torch.where(exact_B[:, None], (bits_BL % 2 == 1) & rows.maskable_BL, masked_BL)
        shares = [_masks(n) * _beta(k, n) if exact(n) else 0.0 for k, n in zip(masked_BL.sum(-1).tolist(), scored, strict=True)]
        exact_weight_B = torch.tensor(shares, dtype=torch.float64, device=masked_BL.device)
        nll_R = nll_of(denoiser, rows, masked_BL, masked_BL, word.cfg_scale)
        return summed(nll_R, masked_BL) * torch.where(exact_B, exact_weight_B, weight_B)

    return Estimator(
        name=word.word,
        value=value,
        draws=lambda scored: _masks(scored) if exact(scored) else word.samples,
        exact=exact,
        strata=word.samples,
        error=word.error,
        rounds=1 if word.error is None else word.rounds,
        needs_prompt=bool(word.cfg_scale),
    )


def _masks(scored: int) -> int:
    return (1 << scored) - 1


def _beta(masked: int, scored: int) -> float:
    """B(k, n - k + 1), by a product that stays small."""
    found = 1.0 / scored
    for step in range(1, masked):
        found *= step / (scored - step)
    return found
