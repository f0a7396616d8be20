"""What a cache changes: the same requests with it and without, and at every step of the one the distributions of the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .board import Board
from .board_reader import Reader
from .canvas import Request, lay_out
from .decode import decode
from .denoiser import Denoiser
from .ledger import Ledger
from .marked import Marked
from .noise import Stream
from .samplers import Choices, MakeReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How far a cache is from reading everything."""

    agreement: float
    """Share of the written tokens that are the same."""
    same_rows: float
    """Share of the requests all of whose tokens are the same."""
    divergence: float
    """Mean over scored positions of KL(without || with), in nats, at the tokens that were written with the cache."""
    ties: int
    """Choices of either that rounding could have turned."""
    passes: tuple[int, int]
    """Forward passes with the cache and without."""
    query_tokens: tuple[int, int]
    """Tokens that a body read with the cache and without."""

    @property
    def saved(self) -> float:
        """Share of the tokens that a body did not have to read."""
        return 1 - self.query_tokens[0] / self.query_tokens[1]


@dataclass(slots=True)
class _Sum:
    total: float = 0.0
    count: int = 0


@dataclass(slots=True)
class _Beside:
    """Reads with a cache, and notes how far that is from reading without."""

    denoiser: Denoiser
    cached: Reader
    plain: Reader
    found: _Sum = field(default_factory=_Sum)

    def turn(self, board: Board) -> Tensor:
        return self.cached.turn(board)

    def enter(self, board: Board, tokens_BL: Tensor, count: int) -> None:
        self.cached.enter(board, tokens_BL, count)
        self.plain.enter(board, tokens_BL, count)

    def keep(self, kept: Tensor) -> None:
        self.cached.keep(kept)
        self.plain.keep(kept)

    def read(self, board: Board, tokens_BL: Tensor, scored_BL: Tensor) -> Tensor:
        hidden_RD = self.cached.read(board, tokens_BL, scored_BL)
        with_RV = self.denoiser.head(hidden_RD).log_softmax(-1)
        without_RV = self.denoiser.head(self.plain.read(board, tokens_BL, scored_BL)).log_softmax(-1)
        # The mask has no probability in either.
        terms_RV = torch.where(without_RV > float("-inf"), without_RV.exp() * (without_RV - with_RV), 0.0)
        self.found.total += float(terms_RV.sum(dtype=torch.float64))
        self.found.count += len(hidden_RD)
        return hidden_RD


def verify(
    denoiser: Denoiser, requests: Sequence[Request], choices: Choices, plain: MakeReader, stream: Stream, marked: Marked, *, pad: int
) -> Verified:
    """Fill requests with the cache of `choices` and again with the reader `plain`."""
    device = next(denoiser.parameters()).device
    canvas = lay_out(list(requests), mask_token=denoiser.mask_token, pad=pad, device=device)
    found = _Sum()

    def beside(one: Denoiser, ledger: Ledger) -> Reader:
        return _Beside(one, choices.reader(one, ledger), plain(one, Ledger()), found)

    # What it costs is counted apart, since the comparison reads everything besides.
    audited = decode(denoiser, canvas, replace(choices, reader=beside), stream, marked=marked)
    without = decode(denoiser, canvas, replace(choices, reader=plain), stream, marked=marked)
    written_BL = canvas.open_BL & (audited.step_BL >= 0) & (without.step_BL >= 0)
    same_BL = audited.tokens_BL == without.tokens_BL
    return Verified(
        agreement=float(same_BL[written_BL].float().mean()) if bool(written_BL.any()) else 1.0,
        same_rows=float((same_BL | ~canvas.open_BL).all(-1).float().mean()),
        divergence=found.total / found.count if found.count else 0.0,
        ties=audited.ledger.ties + without.ledger.ties,
        passes=(audited.ledger.passes, without.ledger.passes),
        query_tokens=(audited.ledger.query_tokens, without.ledger.query_tokens),
    )
