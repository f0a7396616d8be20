"""Revealing by the reverse process itself: each masked position by chance at each step, and with ReMDM some are masked again. B, L.

Ancestral sampling of masked diffusion (MDLM, arXiv 2406.07524, eq. 6) is the case in which nothing is masked again; ReMDM
(arXiv 2503.00307, eq. 3 and 4) masks what is there with probability sigma, and reveals that much more. What happens at a step follows
from random numbers alone, so only what is about to be revealed is scored, and a step that reveals nothing needs no forward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .board import Board
from .noise import Stream
from .proposal import Proposed
from .ranking import FAR
from .schedules import Schedule

HAPPENS = 1
"""The purpose of the random number that says whether a position is revealed or masked again."""


class Moment(NamedTuple):
    """The alphas of a step from t to s = t - 1 / steps, and t, for each row [B]."""

    alpha_t: Tensor
    alpha_s: Tensor
    t: Tensor


Sigma = Callable[[Moment, Board], Tensor]
"""The probability that what is there is masked again, [B, L] or [B, 1]."""
Alphas = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(t, s) -> alphas of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealing:
    """The policy of the reverse process."""

    alphas: Alphas
    sigma: Sigma | None = None

    @property
    def revises(self) -> bool:
        """Whether what is there may be masked again."""
        return self.sigma is not None

    random = False

    def ahead(self, board: Board, active_BL: Tensor, stream: Stream) -> tuple[Tensor, Tensor | None]:
        """What is revealed at this step, and what is masked again."""
        # Everything revises at once, whatever its window: there is one.
        steps_B = torch.where(board.start_BL, board.share_BL, 1).amax(-1)
        t_B = (1 - board.pass_B.double() / steps_B).clamp(min=0)
        s_B = (1 - (board.pass_B + 1).double() / steps_B).clamp(min=0)
        now = Moment(*self.alphas(t_B, s_B), t_B)
        column_L = torch.arange(board.tokens_BL.shape[1], device=active_BL.device)
        uniform_BL = torch.ones_like(active_BL, dtype=torch.float64)
        row_R, column_R = board.start_BL.nonzero(as_tuple=True)
        purpose = torch.tensor(HAPPENS, device=row_R.device)
        uniform_BL[row_R, column_R] = stream.uniform(board.id_B[row_R], board.pass_B[row_R], column_L[column_R], purpose).double()
        if self.sigma is None:
            share_B1 = ((now.alpha_s - now.alpha_t) / (1 - now.alpha_t))[:, None]
            return active_BL & (uniform_BL < share_B1), None
        sigma_BL = self.sigma(now, board)
        there_BL = board.start_BL & ~board.open_BL
        alpha_s, alpha_t = now.alpha_s[:, None], now.alpha_t[:, None]
        revealed_BL = uniform_BL < (alpha_s - (1 - sigma_BL) * alpha_t) / (1 - alpha_t)
        return active_BL & revealed_BL, there_BL & (uniform_BL < sigma_BL)

    def commit(
        self, board: Board, row_R: Tensor, last_R: Tensor | None, proposed: Proposed, rank_R: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Whatever was scored."""
        return torch.ones_like(row_R, dtype=torch.bool), torch.full((len(board),), FAR, device=row_R.device)


def plain(schedule: Schedule) -> Alphas:
    """The schedule itself."""
    return lambda t, s: (schedule.alpha(t), schedule.alpha(s))


def looped(schedule: Schedule, start: float, end: float, rest: float) -> Alphas:
    """To alpha = `rest` until t = `start`, which stays until t = `end`, and from there to 1 (ReMDM, arXiv 2503.00307, section 4.3)."""

    def alpha(t: Tensor) -> Tensor:
        before = rest * schedule.alpha(((t - start) / (1 - start)).clamp(0, 1))
        after = rest + (1 - rest) * schedule.alpha((t / end).clamp(0, 1))
        return torch.where(t > start, before, torch.where(t > end, rest, after))

    return lambda t, s: (alpha(t), alpha(s))
