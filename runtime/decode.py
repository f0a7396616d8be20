"""The sampler engine: one loop over windows, proposals, confidences and quotas. B rows, L columns, R scored positions, V vocabulary."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .board import Board, board_of
from .canvas import Canvas
from .denoiser import Denoiser
from .guided import Guided
from .ledger import Ledger
from .marked import Marked
from .noise import Stream
from .proposal import Proposed, propose
from .samplers import Choices
from .ties import tied

TOKEN, ORDER = 0, 1
"""Purposes of random numbers: which token, and in which order. What a policy draws ahead has ORDER's: no policy has both."""
NEVER_ASKED = -2


@dataclass(frozen=True, slots=True)
class Reveal:
    """What one step committed: parallel lists of row, column, token and probability; the mask token where one came back."""

    step: list[int]
    """The own step of each row."""
    rows: list[int]
    """Indices of requests."""
    columns: list[int]
    tokens: list[int]
    probability: list[float]


Watch = Callable[[Reveal], None]
Over = Callable[[int, list[int]], bool]
"""(index of the request, its tokens up to the first open one) -> whether nothing behind them matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A row that is over, without padding."""

    request: int
    tokens: list[int]
    step: list[int]
    """The row's own step that committed a token; -1: it was given; -2: it stands behind the end and was never asked for."""
    probability: list[float]
    """The model's probability of a committed token; 1 where it was given."""
    passes: int
    """The row's own steps."""
    ties: int
    """Choices that rounding could have turned."""


class Engine:
    """Rows on their way. They enter at any time, go at their own pace, and leave when they are over."""

    def __init__(
        self,
        denoiser: Denoiser,
        choices: Choices,
        stream: Stream,
        *,
        marked: Marked,
        ledger: Ledger,
        slots: int,
        watch: Watch | None = None,
        over: Over | None = None,
    ) -> None:
        self.denoiser = denoiser
        self.choices = choices
        self.stream = stream
        self.marked = marked
        self.ledger = ledger
        self.slots = slots
        self.watch = watch
        self.over = over
        self.board: Board | None = None
        self._guided = Guided(denoiser, choices, marked, ledger)
        self._begun: dict[int, int] = {}
        """Of requests that are asked about: how far each was known when it was last asked."""

    def __len__(self) -> int:
        return 0 if self.board is None else len(self.board)

    def enter(self, canvas: Canvas, requests: list[int]) -> None:
        """Rows join those that are there."""
        choices = self.choices
        new = board_of(canvas, torch.tensor(requests), block_size=choices.block_size, from_origin=choices.from_origin, steps=choices.steps)
        self.board = new if self.board is None or not len(self.board) else self.board.joined(new)
        self._guided.enter(self.board, len(new))
        self.ledger.requests += len(new)

    def step(self) -> list[Finished]:
        """One step of every row whose turn it is, and the rows that are over with it."""
        board = self.board
        assert board is not None
        done = self._leave(board)
        if done or not len(board):
            return done
        self.ledger.turns += len(board)
        self.ledger.slots += self.slots
        turn_B = self._guided.turn(board)
        active_BL = board.open_BL & (board.block_BL == board.current_B()[:, None]) & turn_B[:, None]
        scored_BL, hidden_BL = self.choices.policy.ahead(board, active_BL, self.stream)
        row_R, column_R = scored_BL.nonzero(as_tuple=True)
        if len(row_R):
            self._commit(board, scored_BL, row_R, column_R)
        if hidden_BL is not None:
            self._hide(board, hidden_BL)
        board.pass_B += turn_B
        return []

    def _commit(self, board: Board, scored_BL: Tensor, row_R: Tensor, column_R: Tensor) -> None:
        before = self.denoiser.head_rows
        logits_RV = self._guided.logits(board, scored_BL)
        self.ledger.head_rows += self.denoiser.head_rows - before
        self._keep_out(board, logits_RV, row_R, column_R)
        choices, last = self.choices, self.marked.last_T
        uniform_R = self._uniform(board, row_R, column_R, TOKEN) if choices.proposal.temperature > 0 else None
        rank_R = self._uniform(board, row_R, column_R, ORDER) if choices.policy.random else None
        proposed = propose(logits_RV, uniform_R, choices.proposal)
        last_R = torch.isin(proposed.token_R, last) if len(last) else None
        chosen_R, near_B = choices.policy.commit(board, row_R, last_R, proposed, rank_R)
        self._count_ties(board, row_R, proposed, chosen_R, near_B)
        place = row_R[chosen_R], column_R[chosen_R]
        token_C, probability_C = proposed.token_R[chosen_R], proposed.logp_R[chosen_R].exp()
        board.tokens_BL[place] = token_C
        board.probability_BL[place] = probability_C.float()
        board.step_BL[place] = board.pass_B[place[0]].to(board.step_BL.dtype)
        board.open_BL[place] = False
        if len(self.marked.stops_T):
            board.stop_BL[place] = torch.isin(token_C, self.marked.stops_T)
        self._tell(board, place, token_C, probability_C)

    def _keep_out(self, board: Board, logits_RV: Tensor, row_R: Tensor, column_R: Tensor) -> None:
        """Before anything is chosen: what may not be written has no probability."""
        never, not_first = self.marked.never_T, self.marked.not_first_T
        if len(never):
            logits_RV.index_fill_(-1, never, float("-inf"))
        if len(not_first):
            begins_R = column_R == board.first_B[row_R]
            logits_RV[begins_R.nonzero(), not_first] = float("-inf")

    def _uniform(self, board: Board, row_R: Tensor, column_R: Tensor, purpose: int) -> Tensor:
        return self.stream.uniform(board.id_B[row_R], board.pass_B[row_R], column_R, torch.tensor(purpose, device=row_R.device))

    def _count_ties(self, board: Board, row_R: Tensor, proposed: Proposed, chosen_R: Tensor, near_B: Tensor) -> None:
        found_B = tied(self.denoiser.precision(), len(board), row_R, proposed, chosen_R, near_B)
        board.ties_B += found_B

    def _hide(self, board: Board, hidden_BL: Tensor) -> None:
        place = hidden_BL.nonzero(as_tuple=True)
        board.tokens_BL[place] = self.denoiser.mask_token
        board.open_BL[place] = True
        board.stop_BL[place] = False
        self._tell(board, place, board.tokens_BL[place], torch.zeros(len(place[0])))

    def _tell(self, board: Board, place: tuple[Tensor, ...], token_C: Tensor, probability_C: Tensor) -> None:
        if self.watch is not None and len(token_C):
            row_C, column_C = place
            found = (board.pass_B[row_C], board.request_B[row_C], column_C, token_C, probability_C)
            self.watch(Reveal(*(part.tolist() for part in found)))

    # --- who is over

    def _leave(self, board: Board) -> list[Finished]:
        """The rows that are over; the others close ranks."""
        open_B = torch.where(board.open_BL, _columns(board), board.length_B[:, None]).amin(-1)
        over_B = ~board.open_BL.any(-1)
        if self.choices.policy.revises:
            steps_B = torch.where(board.start_BL, board.share_BL, 0).amax(-1)
            over_B = board.pass_B >= steps_B
        else:
            end_B = torch.where(board.stop_BL, _columns(board), board.length_B[:, None]).amin(-1)
            over_B = over_B | (board.ends_B & (end_B < open_B)) | self._said_all(board, open_B, over_B)
        rows = over_B.nonzero()[:, 0]
        if not len(rows):
            return []
        found = list(self._finished(board, rows.tolist(), open_B.tolist()))
        kept = (~over_B).nonzero()[:, 0]
        self.board = board.taken(kept)
        self._guided.keep(kept)
        return found

    def _said_all(self, board: Board, open_B: Tensor, over_B: Tensor) -> Tensor:
        """Rows whose text is over; each is asked only when more of its beginning is known."""
        said_B = torch.zeros_like(over_B)
        if self.over is None:
            return said_B
        known, prompts, requests = open_B.tolist(), board.prompt_B.tolist(), board.request_B.tolist()
        for row, request in enumerate(requests):
            if known[row] > max(prompts[row], self._begun.get(request, 0)):
                self._begun[request] = known[row]
                said_B[row] = self.over(request, board.tokens_BL[row, : known[row]].tolist())
        return said_B

    def _finished(self, board: Board, rows: list[int], open_B: list[int]) -> Iterator[Finished]:
        for row in rows:
            length = int(board.length_B[row])
            tokens_L, step_L = board.tokens_BL[row, :length], board.step_BL[row, :length]
            behind_L = board.open_BL[row, :length]
            tokens = torch.where(behind_L, self.marked.fill, tokens_L)
            written_L = board.start_BL[row, :length] & ~behind_L
            mask_left = (tokens == self.denoiser.mask_token) & board.start_BL[row, :length]
            assert not bool(mask_left.any()), "a mask was left"
            end = self._end(board, row, open_B[row])
            wasted = int(written_L[end:].sum())
            self.ledger.wasted += wasted
            self.ledger.tokens += int(written_L.sum()) - wasted
            self.ledger.ties += int(board.ties_B[row])
            yield Finished(
                request=int(board.request_B[row]),
                tokens=tokens.tolist(),
                step=torch.where(behind_L, NEVER_ASKED, step_L.long()).tolist(),
                probability=board.probability_BL[row, :length].tolist(),
                passes=int(board.pass_B[row]),
                ties=int(board.ties_B[row]),
            )

    def _end(self, board: Board, row: int, known: int) -> int:
        """Where the answer of a row is over."""
        if not bool(board.ends_B[row]):
            return int(board.length_B[row])
        stops = board.stop_BL[row].nonzero()[:, 0]
        return int(stops[0]) + 1 if len(stops) else known


def _columns(board: Board) -> Tensor:
    return torch.arange(board.tokens_BL.shape[1], device=board.tokens_BL.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A filled canvas with the trace of how."""

    tokens_BL: Tensor
    step_BL: Tensor
    """int16: the row's own step that committed a position; -1 where it was given; -2 where it was never asked for."""
    probability_BL: Tensor
    """float32: the model's probability of the committed token; 1 where it was given."""
    ties_B: Tensor
    ledger: Ledger


@torch.inference_mode()
def decode(
    denoiser: Denoiser,
    canvas: Canvas,
    choices: Choices,
    stream: Stream,
    *,
    marked: Marked | None = None,
    watch: Watch | None = None,
) -> Decoded:
    """Fill every open position. Rows are independent: what is drawn for one depends on its id, its own step and the position.

    Every row goes through its blocks at its own pace and leaves the batch when it is full.
    """
    ledger = Ledger()
    device = canvas.tokens_BL.device
    marked = marked or Marked.nothing(device)
    engine = Engine(denoiser, choices, stream, marked=marked, ledger=ledger, slots=len(canvas.id_B), watch=watch)
    engine.enter(canvas, list(range(len(canvas.id_B))))
    tokens_BL = canvas.tokens_BL.clone()
    step_BL = torch.full_like(tokens_BL, -1, dtype=torch.int16)
    probability_BL = torch.ones_like(tokens_BL, dtype=torch.float32)
    ties_B = torch.zeros_like(canvas.id_B)
    while len(engine):
        for row in engine.step():
            length = len(row.tokens)
            tokens_BL[row.request, :length] = torch.tensor(row.tokens, device=device)
            step_BL[row.request, :length] = torch.tensor(row.step, dtype=torch.int16, device=device)
            probability_BL[row.request, :length] = torch.tensor(row.probability, device=device)
            ties_B[row.request] = row.ties
    return Decoded(tokens_BL=tokens_BL, step_BL=step_BL, probability_BL=probability_BL, ties_B=ties_B, ledger=ledger)
