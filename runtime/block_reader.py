"""Reading blocks from left to right with an exact cache: a finished block is read once more, and never again. B, Q queries, D, R scored.

A prompt is encoded once, when its row enters. A finished block rides in the first pass of the next one: it sees itself and what is before
it, so what it leaves in the cache is what it would leave alone. Nothing computed beside a mask stays.
"""

import torch
from torch import Tensor

from .board import Board
from .denoiser import Denoiser
from .failure import Failure
from .kv import Store
from .ledger import Ledger

_CHUNK = 512


class Blocks:
    """Each row has read its columns before `at_B`, for good."""

    def __init__(self, denoiser: Denoiser, ledger: Ledger, block_size: int) -> None:
        """Raises Failure for an architecture that takes no cache."""
        if denoiser.layers is None:
            raise Failure("this architecture is an encoder, which takes no cache: `cache: none`")
        self.denoiser = denoiser
        self.ledger = ledger
        self.block_size = block_size
        self.store = Store(denoiser.layers)
        self.at_B = torch.zeros(0, dtype=torch.int64)
        self.before_BD: Tensor | None = None
        """Hidden state of the last column that was read for good: with a logit shift it speaks of the first that was not."""

    def turn(self, board: Board) -> Tensor:
        return torch.ones_like(board.ends_B)

    def keep(self, kept: Tensor) -> None:
        self.store.keep(kept)
        self.at_B = self.at_B[kept]
        if self.before_BD is not None:
            self.before_BD = self.before_BD[kept]

    def enter(self, board: Board, tokens_BL: Tensor, count: int) -> None:
        old = len(board) - count
        start_N = self._starts(board)[old:]
        self.store.enter(count, tokens_BL.shape[1])
        self.at_B = torch.cat([self.at_B.to(start_N.device), start_N])
        if self.before_BD is not None:
            self.before_BD = torch.nn.functional.pad(self.before_BD, (0, 0, 0, count))
        until = int(start_N.amax())
        if not until:
            return
        # Whoever is there already keeps what it has: the prompts are read in a store of their own, and copied in once.
        aside = Store(len(self.store.cache.layers)) if old else self.store
        if old:
            aside.enter(count, until)
        self._encode(aside, tokens_BL[old:], start_N, until, old)
        if old:
            self.store.copy_rows(aside, old)

    def read(self, board: Board, tokens_BL: Tensor, scored_BL: Tensor) -> Tensor:
        start_B = self._starts(board)
        end_B = (start_B + self.block_size).minimum(board.length_B)
        least, most, first_end, last_end = torch.stack([self.at_B.amin(), self.at_B.amax(), end_B.amin(), end_B.amax()]).tolist()
        queries = int((end_B - self.at_B).amax())
        column_BQ = self.at_B[:, None] + torch.arange(queries, device=start_B.device)
        inside_BQ = column_BQ.clamp(max=tokens_BL.shape[1] - 1)
        if least == most and first_end == last_end:
            self.store.at(start=least, visible=last_end)
            mask_XQW = self._mask(column_BQ[:1], last_end)
        else:
            needed_BQ = column_BQ < end_B[:, None]
            self.store.at(column_BQ=torch.where(needed_BQ, column_BQ, self.store.width), visible=last_end)
            within_BW = torch.arange(last_end, device=start_B.device) < end_B[:, None]
            mask_XQW = self._mask(column_BQ, last_end) & within_BW[:, None, :]
        hidden_BQD = self.denoiser.body_beside(tokens_BL.gather(1, inside_BQ), inside_BQ, mask_XQW, self.store.cache)
        self.ledger.read(column_BQ.numel(), last_end)
        row_R, column_R = scored_BL.nonzero(as_tuple=True)
        found_RD = self._speaking(hidden_BQD, row_R, column_R)
        self._commit(hidden_BQD, start_B)
        return found_RD

    def _starts(self, board: Board) -> Tensor:
        """The first column of each row's running block."""
        return torch.where(board.open_BL, board.block_BL * self.block_size, board.length_B[:, None]).amin(-1)

    def _mask(self, query_XQ: Tensor, visible: int) -> Tensor:
        key_W = torch.arange(visible, device=query_XQ.device)
        return key_W // self.block_size <= query_XQ[:, :, None] // self.block_size

    def _speaking(self, hidden_BQD: Tensor, row_R: Tensor, column_R: Tensor) -> Tensor:
        """The states that speak of the scored columns."""
        place_R = column_R - self.at_B[row_R] - self.denoiser.logit_shift
        found_RD = hidden_BQD[row_R, place_R.clamp(min=0)]
        # The first column of all has but itself.
        outside_R = (place_R < 0) & (column_R > 0)
        if self.before_BD is None or not self.denoiser.logit_shift:
            return found_RD
        return torch.where(outside_R[:, None], self.before_BD[row_R].to(found_RD.dtype), found_RD)

    def _commit(self, hidden_BQD: Tensor, start_B: Tensor) -> None:
        """What stands before the running block was finished, and has been read as that."""
        self._remember(hidden_BQD, start_B - 1 - self.at_B, start_B > self.at_B, 0)
        self.at_B = start_B

    def _remember(self, hidden_NQD: Tensor, place_N: Tensor, new_N: Tensor, first: int) -> None:
        if not self.denoiser.logit_shift:
            return
        if self.before_BD is None:
            self.before_BD = hidden_NQD.new_zeros(len(self.at_B), hidden_NQD.shape[-1])
        rows_K = new_N.nonzero()[:, 0]
        self.before_BD[first + rows_K] = hidden_NQD[rows_K, place_N[rows_K]].to(self.before_BD.dtype)

    def _encode(self, store: Store, tokens_NL: Tensor, start_N: Tensor, until: int, first: int) -> None:
        """Read what is given before the first open block. Columns behind a row's own start are written again before they are seen."""
        step = max(1, _CHUNK // self.block_size) * self.block_size
        for a in range(0, until, step):
            stop = min(a + step, until)
            column_1Q = torch.arange(a, stop, device=tokens_NL.device)[None]
            store.at(start=a, visible=stop)
            position_NQ = column_1Q.expand(len(tokens_NL), -1)
            hidden_NQD = self.denoiser.body_beside(tokens_NL[:, a:stop], position_NQ, self._mask(column_1Q, stop), store.cache)
            self.ledger.read(position_NQ.numel(), stop)
            self._remember(hidden_NQD, start_N - 1 - a, (start_N > a) & (start_N <= stop), first)
