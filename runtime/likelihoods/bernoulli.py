"""A coin for every token, with times of a round spread evenly from one random start."""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.likelihoods.bernoulli import Bernoulli

from ..denoiser import Denoiser
from ..likelihood import summed
from ..noise import Stream
from ..rows import Rows
from . import Estimator, nll_of, place_of, sampled


def build(word: Bernoulli) -> Estimator:
    """The estimator of the word."""

    def value(denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        # -2: one start for all masks of a round, which is told by the visit of its first mask.
        first_B = rows.visit_B - rows.slot_B
        start_B = stream.uniform(rows.sample_B, first_B, torch.tensor(-2, device=first_B.device)).double()
        time_B = (start_B + rows.slot_B / rows.batch) % 1 * (1 - word.time_epsilon) + word.time_epsilon
        u_BL = stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], place_of(rows))
        masked_BL = (u_BL < time_B[:, None]) & rows.maskable_BL
        return summed(nll_of(denoiser, rows, masked_BL, masked_BL, word.cfg_scale), masked_BL) / time_B

    return sampled(word, value, needs_prompt=bool(word.cfg_scale), append_end=word.append_end)
