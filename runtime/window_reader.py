"""Reading a window beside keys and values of an earlier pass: approximate, since both sides of a bidirectional model have moved on since.

`prefix` reads a window and all behind it, `dual` the window alone (Fast-dLLM, arXiv 2505.22618, section 3.2). When a row begins a window,
and every so many steps, it is read whole; the others wait for it. B rows, Q queries, L columns, K of the rows, D width, R scored.
"""

import torch
from torch import Tensor

from .board import Board
from .denoiser import Denoiser
from .failure import Failure
from .kv import Store
from .ledger import Ledger
from .seen import everyone


class Windows:
    """Of each row: the window that it was last read whole for, and how many steps ago."""

    def __init__(self, denoiser: Denoiser, ledger: Ledger, kind: str, refresh: int | None) -> None:
        """Raises Failure for an architecture that takes no cache."""
        if denoiser.layers is None:
            raise Failure("this architecture is an encoder, which takes no cache: `cache: none`")
        self.denoiser = denoiser
        self.ledger = ledger
        self.behind = kind == "prefix"
        self.refresh = refresh
        self.store = Store(denoiser.layers)
        self.window_B = torch.zeros(0, dtype=torch.int64)
        self.age_B = torch.zeros(0, dtype=torch.int64)
        self.before_BD: Tensor | None = None
        """Hidden state of the column before the window: with a logit shift it speaks of its first."""

    def enter(self, board: Board, tokens_BL: Tensor, count: int) -> None:
        self.store.enter(count, tokens_BL.shape[1])
        none = torch.full((count,), -1, device=tokens_BL.device)
        self.window_B = torch.cat([self.window_B.to(none.device), none])
        self.age_B = torch.cat([self.age_B.to(none.device), torch.zeros_like(none)])
        if self.before_BD is not None:
            self.before_BD = torch.nn.functional.pad(self.before_BD, (0, 0, 0, count))

    def keep(self, kept: Tensor) -> None:
        self.store.keep(kept)
        self.window_B, self.age_B = self.window_B[kept], self.age_B[kept]
        if self.before_BD is not None:
            self.before_BD = self.before_BD[kept]

    def turn(self, board: Board) -> Tensor:
        stale_B = self._stale(board)
        return stale_B if bool(stale_B.any()) else torch.ones_like(stale_B)

    def read(self, board: Board, tokens_BL: Tensor, scored_BL: Tensor) -> Tensor:
        stale_B = self._stale(board)
        if bool(stale_B.any()):
            return self._whole(board, tokens_BL, scored_BL, stale_B.nonzero()[:, 0])
        self.age_B += 1
        return self._window(board, tokens_BL, scored_BL)

    def _stale(self, board: Board) -> Tensor:
        moved_B = board.current_B() != self.window_B
        return moved_B if self.refresh is None else moved_B | (self.age_B + 1 >= self.refresh)

    def _whole(self, board: Board, tokens_BL: Tensor, scored_BL: Tensor, rows_K: Tensor) -> Tensor:
        valid_KL, tokens_KL = board.valid_BL[rows_K], tokens_BL[rows_K]
        column_L = torch.arange(tokens_KL.shape[1], device=tokens_KL.device)
        self.store.at(rows_K=rows_K)
        # Padding stands behind everything, so positions are columns.
        hidden_KLD = self.denoiser.body_beside(tokens_KL, column_L.expand_as(tokens_KL), valid_KL[:, None, :], self.store.cache)
        self.ledger.read(tokens_KL.numel(), tokens_KL.shape[1])
        self.window_B[rows_K], self.age_B[rows_K] = board.current_B()[rows_K], 0
        start_K = self._range(board)[0][rows_K]
        if self.denoiser.logit_shift:
            if self.before_BD is None:
                self.before_BD = hidden_KLD.new_zeros(len(board), hidden_KLD.shape[-1])
            place_K = torch.arange(len(rows_K), device=rows_K.device)
            self.before_BD[rows_K] = hidden_KLD[place_K, (start_K - 1).clamp(min=0)]
            hidden_KLD = self.denoiser.shifted(hidden_KLD, everyone(valid_KL))
        return hidden_KLD[scored_BL[rows_K]]

    def _window(self, board: Board, tokens_BL: Tensor, scored_BL: Tensor) -> Tensor:
        start_B, end_B = self._range(board)
        least, most, first_end, last_end = torch.stack([start_B.amin(), start_B.amax(), end_B.amin(), end_B.amax()]).tolist()
        queries, width = int((end_B - start_B).amax()), tokens_BL.shape[1]
        column_BQ = start_B[:, None] + torch.arange(queries, device=start_B.device)
        inside_BQ = column_BQ.clamp(max=width - 1)
        if least == most and first_end == last_end:
            self.store.at(start=least, visible=width)
        else:
            self.store.at(column_BQ=torch.where(column_BQ < end_B[:, None], column_BQ, self.store.width), visible=width)
        hidden_BQD = self.denoiser.body_beside(tokens_BL.gather(1, inside_BQ), inside_BQ, board.valid_BL[:, None, :], self.store.cache)
        self.ledger.read(column_BQ.numel(), width)
        row_R, column_R = scored_BL.nonzero(as_tuple=True)
        place_R = column_R - start_B[row_R] - self.denoiser.logit_shift
        found_RD = hidden_BQD[row_R, place_R.clamp(min=0)]
        if self.before_BD is None or not self.denoiser.logit_shift:
            return found_RD
        outside_R = (place_R < 0) & (column_R > 0)
        return torch.where(outside_R[:, None], self.before_BD[row_R], found_RD)

    def _range(self, board: Board) -> tuple[Tensor, Tensor]:
        """First column of each row's window and the one behind the last that is read."""
        column_L = torch.arange(board.tokens_BL.shape[1], device=board.tokens_BL.device)
        own_BL = board.start_BL & (board.block_BL == board.current_B()[:, None])
        start_B = torch.where(own_BL, column_L, board.length_B[:, None]).amin(-1)
        end_B = board.length_B if self.behind else torch.where(own_BL, column_L + 1, 0).amax(-1)
        return start_B, end_B
