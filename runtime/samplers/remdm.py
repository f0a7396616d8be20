"""ReMDM: ancestral sampling that masks again, by one of four rules for sigma (arXiv 2503.00307, section 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.samplers.remdm import Remdm

from ..board import Board
from ..build import build as built
from ..revealing import Moment, Revealing, Sigma, looped, plain
from . import Choices, guidance_of, proposal_of, whole


def largest(now: Moment) -> Tensor:
    """The largest sigma of which a step remains a distribution: min(1, (1 - alpha_s) / alpha_t) (eq. 5)."""
    return torch.where(now.alpha_t > 0, (1 - now.alpha_s) / now.alpha_t, 1.0).clamp(max=1)


def _cap(word: Remdm) -> Sigma:
    return lambda now, board: largest(now).clamp(max=word.eta)[:, None]


def _rescale(word: Remdm) -> Sigma:
    return lambda now, board: (word.eta * largest(now))[:, None]


def _confidence(word: Remdm) -> Sigma:
    def sigma(now: Moment, board: Board) -> Tensor:
        there_BL = board.start_BL & ~board.open_BL
        weight_BL = torch.where(there_BL, (-board.probability_BL.double()).exp(), 0.0)
        return largest(now)[:, None] * weight_BL / weight_BL.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)

    return sigma


def _loop(word: Remdm) -> Sigma:
    def sigma(now: Moment, board: Board) -> Tensor:
        rests_B = (now.t <= word.loop_start) & (now.t > word.loop_end)
        return torch.where(rests_B, largest(now).clamp(max=word.eta), 0.0)[:, None]

    return sigma


_SIGMA: dict[str, Callable[[Remdm], Sigma]] = {"cap": _cap, "rescale": _rescale, "confidence": _confidence, "loop": _loop}


def build(word: Remdm) -> Choices:
    """The row of the word."""
    schedule = built(word.schedule)
    rests = looped(schedule, word.loop_start, word.loop_end, word.loop_alpha)
    return Choices(
        block_size=None,
        steps=word.steps,
        proposal=proposal_of(word),
        policy=Revealing(alphas=rests if word.revision == "loop" else plain(schedule), sigma=_SIGMA[word.revision](word)),
        reader=whole(),
        guidance=guidance_of(word),
        never=word.suppress_tokens,
        not_first=word.begin_suppress_tokens,
    )
