"""Readers: how a step gets hidden states for the positions that it scores. B rows of the board, L columns, R scored positions, D width."""

from typing import Protocol

import torch
from torch import Tensor

from .board import Board
from .denoiser import Denoiser
from .ledger import Ledger
from .seen import block_causal, everyone


class Reader(Protocol):
    """A way to read a board. One that keeps something of earlier passes is told who enters and leaves."""

    def turn(self, board: Board) -> Tensor:
        """bool [B]: whose step it is. Rows that need another kind of pass than the others wait for them."""

    def read(self, board: Board, tokens_BL: Tensor, scored_BL: Tensor) -> Tensor:
        """Hidden states [R, D] that speak of the scored positions, in row-major order. `tokens_BL` may differ from the board's."""

    def enter(self, board: Board, tokens_BL: Tensor, count: int) -> None:
        """The last `count` rows of the board are new."""

    def keep(self, kept: Tensor) -> None:
        """Only these rows stay, by index."""


class Whole:
    """Reads whole rows every time, and keeps nothing."""

    def __init__(self, denoiser: Denoiser, ledger: Ledger, block_size: int | None) -> None:
        """`block_size`: that of a denoiser that reads blocks from left to right; None: of one that sees both sides."""
        self.denoiser = denoiser
        self.ledger = ledger
        self.block_size = block_size

    def turn(self, board: Board) -> Tensor:
        return torch.ones_like(board.ends_B)

    def read(self, board: Board, tokens_BL: Tensor, scored_BL: Tensor) -> Tensor:
        rows_K = scored_BL.any(-1).nonzero()[:, 0]
        valid_KL, scored_KL = board.valid_BL[rows_K], scored_BL[rows_K]
        seen = everyone(valid_KL) if self.block_size is None else block_causal(valid_KL, self.block_size)
        self.ledger.read(valid_KL.numel(), valid_KL.shape[1])
        return self.denoiser.hidden(tokens_BL[rows_K], seen)[scored_KL]

    def enter(self, board: Board, tokens_BL: Tensor, count: int) -> None:
        pass

    def keep(self, kept: Tensor) -> None:
        pass
