"""What a cache changes: the same requests with it and without, and at every step of the one the distributions of the other."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.stages.sample import Sample

from .board import Board
from .board_reader import Reader
from .build import build
from .canvas import Request, lay_out
from .decode import decode
from .denoiser import Denoiser
from .generate import Generator
from .ledger import Ledger
from .marked import Marked, marked_of
from .models import Loaded
from .noise import Stream
from .samplers import Choices, MakeReader
from .tasks import TableRow


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


def cache_table(body: Sample, loaded: Loaded, requests: Sequence[Request], generator: Generator) -> list[dict[str, Any]]:
    """What the sampler's cache changes of these requests, as the rows of a table."""
    choices = generator.choices
    assert isinstance(choices, Choices)
    sampler: Any = body.sampler
    plain: Choices = build(dataclasses.replace(sampler, cache="none"))
    marked = marked_of(choices, loaded.tokens, next(loaded.denoiser.parameters()).device)
    with generator.precision(), torch.inference_mode():
        found = verify(loaded.denoiser.eval(), requests, choices, plain.reader, generator.stream, marked, pad=loaded.tokens.pad)
    rows = [
        TableRow(name="same tokens", value=100 * found.agreement, unit="%", meaning="written tokens that are the same without the cache"),
        TableRow(name="same texts", value=100 * found.same_rows, unit="%", meaning="prompts whose whole answer is the same"),
        TableRow(name="divergence", value=found.divergence, unit="nats", meaning="from what the model says without it, a scored token"),
        TableRow(name="tokens saved", value=100 * found.saved, unit="%", meaning="of those that the model reads without it"),
        TableRow(name="passes", value=found.passes[0], unit="", meaning=f"forward passes with it; without it {found.passes[1]}"),
        TableRow(name="ties", value=found.ties, unit="", meaning="choices of either that rounding could have turned"),
    ]
    return [dataclasses.asdict(row) for row in rows]


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
