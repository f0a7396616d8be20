"""Logits of scored positions, guided where the sampler says so: one reading of the rows, or two (arXiv 2502.09992, appendix A.2)."""

import torch
from torch import Tensor

from .board import Board
from .denoiser import Denoiser
from .ledger import Ledger
from .marked import Marked
from .samplers import Choices


class Guided:
    """One reader, or one for the rows as they are and one for the rows without what was given."""

    def __init__(self, denoiser: Denoiser, choices: Choices, marked: Marked, ledger: Ledger) -> None:
        self.denoiser = denoiser
        self.marked = marked
        self.guidance = choices.guidance
        self.readers = [choices.reader(denoiser, ledger) for _ in range(1 if choices.guidance is None else 2)]

    def turn(self, board: Board) -> Tensor:
        """bool [B]: whose step it is; the same for both readers, which see the same windows."""
        return self.readers[0].turn(board)

    def logits(self, board: Board, scored_BL: Tensor) -> Tensor:
        """Logits [R, V] of the scored positions, in row-major order."""
        with_RV = self.denoiser.head(self.readers[0].read(board, board.tokens_BL, scored_BL))
        if self.guidance is None:
            return with_RV
        without_RV = self.denoiser.head(self.readers[1].read(board, self._without(board), scored_BL))
        # The mask has no logit in either: infinity less infinity would be no number.
        guided_RV = without_RV + (1 + self.guidance.scale) * (with_RV - without_RV)
        return guided_RV.index_fill_(-1, torch.tensor([self.denoiser.mask_token], device=guided_RV.device), float("-inf"))

    def enter(self, board: Board, count: int) -> None:
        """The last `count` rows of the board are new."""
        self.readers[0].enter(board, board.tokens_BL, count)
        for reader in self.readers[1:]:
            reader.enter(board, self._without(board), count)

    def keep(self, kept: Tensor) -> None:
        """Only these rows stay."""
        for reader in self.readers:
            reader.keep(kept)

    def _without(self, board: Board) -> Tensor:
        given_BL = board.valid_BL & ~board.start_BL
        if len(self.marked.kept_T):
            given_BL = given_BL & ~torch.isin(board.tokens_BL, self.marked.kept_T)
        return board.tokens_BL.masked_fill(given_BL, self.denoiser.mask_token)
