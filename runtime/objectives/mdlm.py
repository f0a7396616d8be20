"""Masked diffusion: mask each token with probability 1 - alpha(t), weigh the cross-entropy of what was masked by w(t).

MDLM (arXiv 2406.07524, eq. 10), LLaDA (arXiv 2502.09992, eq. 3 and algorithm 1). B rows, L positions, R masked ones, V vocabulary.
"""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm

from ..build import build as build_word
from ..denoiser import Denoiser
from ..noise import Stream
from ..rows import Rows
from ..schedules import Schedule
from ..seen import everyone
from ..weightings import Weighting
from . import Draws, Loss, Objective


class MdlmObjective:
    """The objective of the word."""

    def __init__(self, word: Mdlm) -> None:
        self.schedule: Schedule = build_word(word.schedule)
        self.weighting: Weighting = build_word(word.weighting)
        self.normalise = word.normalise
        self.epsilon = word.time_epsilon
        self.stratified = word.time_sampling == "stratified"

    def draw(self, stream: Stream, rows: Rows) -> Draws:
        """t in [epsilon, 1), one stratum of width 1/batch per row if stratified; a uniform per position."""
        position_L = torch.arange(rows.tokens_BL.shape[1], device=rows.tokens_BL.device)
        # Position -1 is the row's time, the others its mask: one stream, no two numbers shared.
        u_B = stream.uniform(rows.sample_B, rows.visit_B, torch.tensor(-1, device=position_L.device))
        if self.stratified:
            u_B = (rows.slot_B.to(torch.float32) + u_B) / rows.batch
        mask_BL = stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], position_L[None, :])
        return Draws(self.epsilon + (1 - self.epsilon) * u_B, mask_BL)

    def denominator(self, rows: Rows) -> Tensor:
        """Maskable tokens, or rows."""
        counted = rows.maskable_BL if self.normalise == "token" else rows.maskable_BL[:, 0].new_ones(len(rows.sample_B))
        return counted.sum(dtype=torch.float64)

    def loss(self, denoiser: Denoiser, rows: Rows, draws: Draws) -> Loss:
        """Sum of w(t) times cross-entropy over the masked positions; only these reach the head."""
        masked_BL = masked_positions(self.schedule, rows, draws)
        weight_BL = self.weighting(self.schedule, draws.time_B, masked_BL, rows.valid_BL)
        if self.normalise == "sequence":
            weight_BL = weight_BL / rows.maskable_BL.sum(-1, keepdim=True).clamp(min=1)
        noisy_BL = rows.tokens_BL.masked_fill(masked_BL, denoiser.mask_token)
        hidden_BLD = denoiser.hidden(noisy_BL, everyone(rows.valid_BL, rows.document_BL))
        weight_R = weight_BL.expand_as(masked_BL)[masked_BL]
        found = denoiser.cross_entropy(hidden_BLD[masked_BL], rows.tokens_BL[masked_BL], weight_R)
        return Loss(found.total, self.denominator(rows))


def masked_positions(schedule: Schedule, rows: Rows, draws: Draws) -> Tensor:
    """bool [B, L]: maskable positions whose uniform is below the mask rate 1 - alpha(t)."""
    rate_B = 1 - schedule.alpha(draws.time_B)
    return (draws.mask_BL < rate_B[:, None]) & rows.maskable_BL


def build(word: Mdlm) -> Objective:
    """The objective of the word."""
    return MdlmObjective(word)
