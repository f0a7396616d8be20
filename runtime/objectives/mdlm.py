"""Masked diffusion: mask each token with probability 1 - alpha(t), weigh the cross-entropy of what was masked by w(t).

MDLM (arXiv 2406.07524, eq. 10), LLaDA (arXiv 2502.09992, eq. 3 and algorithm 1). B rows, L positions, N noisy rows, R masked positions.
A row of which nothing is masked has the loss 0 and is not drawn again: that would bias the mean.
"""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.masked import Masked

from ..denoiser import Denoiser
from ..likelihood import whole_rows
from ..noise import Stream
from ..noising import Noising
from ..rows import Rows
from ..seen import everyone
from . import Draws, Loss, Objective


class MdlmObjective:
    """The objective of the word, and of words that differ in their defaults alone."""

    def __init__(self, word: Masked) -> None:
        self.noising = Noising(word)

    def draw(self, stream: Stream, rows: Rows) -> Draws:
        """t in [epsilon, 1), one stratum of width 1/batch per row if stratified; a uniform per position."""
        position_L = torch.arange(rows.tokens_BL.shape[1], device=rows.tokens_BL.device)
        # Position -1 is the row's time, the others its mask: one stream, no two numbers shared.
        u_B = stream.uniform(rows.sample_B, rows.visit_B, torch.tensor(-1, device=position_L.device))
        if self.noising.stratified:
            u_B = (rows.slot_B.to(torch.float32) + u_B) / rows.batch
        mask_BL = stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], position_L[None, :])
        low, high = self.noising.times()
        return Draws(low + (high - low) * u_B, mask_BL)

    def denominator(self, rows: Rows) -> Tensor:
        """Maskable tokens, or rows; each counts twice where there is a complement."""
        return self.noising.denominator(rows)

    def loss(self, denoiser: Denoiser, rows: Rows, draws: Draws) -> Loss:
        """Sum of w(t) times cross-entropy over the masked positions; only these reach the head."""
        noisy = self.noising.noisy(rows, draws.time_B[:, None], draws.mask_BL)
        copies = len(noisy)
        masked_NL = torch.cat([one.masked_BL for one in noisy])
        tokens_NL, valid_NL = rows.tokens_BL.repeat(copies, 1), rows.valid_BL.repeat(copies, 1)
        document_NL = None if rows.document_BL is None else rows.document_BL.repeat(copies, 1)
        hidden_NLD = denoiser.hidden(tokens_NL.masked_fill(masked_NL, denoiser.mask_token), everyone(valid_NL, document_NL))
        weight_R = torch.cat([one.weight_BL for one in noisy])[masked_NL]
        found = denoiser.cross_entropy(hidden_NLD[masked_NL], tokens_NL[masked_NL], weight_R)
        return Loss(found.total, self.denominator(rows))

    def bound(self, denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        """The bound of masked diffusion, whatever the weighting of the loss."""
        return whole_rows(denoiser, rows, stream)


def build(word: Masked) -> Objective:
    """The objective of the word."""
    return MdlmObjective(word)
