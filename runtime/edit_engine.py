"""The loop of Edit Flows: tau-leaping from a start to a text, rows of any length at their own pace. B rows, L columns, E edits, R tokens.

A step reads the rows whose text has changed, draws which edits happen, and scores tokens only where one is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .build import build
from .canvas import Canvas
from .denoiser import Denoiser
from .edit_board import GIVEN, UNTOUCHED, EditBoard, board_of, rebuilt
from .edit_chances import Chances, Falls, chances, falls, near
from .edit_heads import DELETE, INSERT, SUBSTITUTE, Edits, rates, token_logits
from .edit_log import NO_TOKEN, Edited, Happened, Watch
from .edit_reader import EditReader
from .edit_record import EditRecord
from .edit_rows import start_of
from .failure import Failure
from .kappas import Kappa, rate_weight
from .ledger import Ledger
from .marked import Marked
from .noise import Stream
from .proposal import propose
from .samplers.edit_flow import EditChoices
from .ties import WITHIN, tied
from .tokenizers import Tokens

CHANGE, INSERTION, TOKEN = 0, 1, 2
"""Purposes of random numbers: what becomes of a token, whether one comes behind it, and which: TOKEN + the kind of the edit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a model was trained with, as a sampler follows it."""

    schedule: Kappa
    start: list[int]
    """Tokens behind a prompt at t = 0."""
    opening: int = 1
    """Tokens before every text: of a draft they alone are given."""


def flow_of(record: EditRecord | None, tokens: Tokens) -> Flow:
    """The flow of a model. Raises Failure where nothing is known of how it was trained."""
    if record is None:
        raise Failure("nothing is known of how this model was trained to edit")
    return Flow(schedule=build(record.schedule), start=start_of(record.start, tokens), opening=len(tokens.begin))


class EditEngine:
    """Rows on their way. They enter at any time, and leave when they have made their steps."""

    def __init__(
        self,
        denoiser: Denoiser,
        choices: EditChoices,
        flow: Flow,
        stream: Stream,
        *,
        marked: Marked,
        ledger: Ledger,
        slots: int,
        watch: Watch | None = None,
    ) -> None:
        self.denoiser = denoiser
        self.choices = choices
        self.flow = flow
        self.stream = stream
        self.marked = marked
        self.ledger = ledger
        self.slots = slots
        self.watch = watch
        self.board: EditBoard | None = None
        self._reader = EditReader(denoiser, ledger)
        self._start: dict[int, list[int]] = {}
        self._happened: dict[int, Happened] = {}

    def __len__(self) -> int:
        return 0 if self.board is None else len(self.board)

    def enter(self, canvas: Canvas, requests: list[int]) -> None:
        """Rows join those that are there."""
        draft = self.flow.opening if self.choices.edit_prompt else None
        start_S = torch.tensor(self.flow.start, dtype=torch.int64, device=canvas.tokens_BL.device)
        new = board_of(canvas, torch.tensor(requests), start_S, draft=draft)
        for request, tokens, length in zip(requests, new.tokens_BL.tolist(), new.length_B.tolist(), strict=True):
            self._start[request], self._happened[request] = tokens[:length], Happened()
        self.board = new if self.board is None or not len(self.board) else self.board.joined(new)
        self.ledger.requests += len(new)

    def begins(self, request: int) -> list[int]:
        """The tokens of a row that is on its way before its first step."""
        return self._start[request]

    def step(self) -> list[Edited]:
        """One step of every row, or the rows that are over."""
        board = self.board
        assert board is not None
        over_B = board.pass_B >= self.choices.steps
        if bool(over_B.any()):
            return self._leave(board, over_B)
        self.ledger.turns += len(board)
        self.ledger.slots += self.slots
        edits = self._reader.read(board)
        weight_B = rate_weight(self.flow.schedule, board.pass_B.double() / self.choices.steps, float("inf")) / self.choices.steps
        found = chances(rates(edits), weight_B, board)
        change_BL, insert_BL = (self._uniform(board, purpose) for purpose in (CHANGE, INSERTION))
        what = falls(found, change_BL, insert_BL, board)
        board.ties_B += near(found, change_BL, insert_BL, WITHIN[self.denoiser.precision()])
        self.board = self._edited(board, edits, found, what)
        self.board.pass_B += 1
        return []

    def _uniform(self, board: EditBoard, purpose: int) -> Tensor:
        place = torch.tensor(purpose, device=board.id_B.device)
        return self.stream.uniform(board.id_B[:, None], board.pass_B[:, None], board.column_L()[None, :], place)

    def _edited(self, board: EditBoard, edits: Edits, found: Chances, what: Falls) -> EditBoard:
        chance_of = ((SUBSTITUTE, what.substituted_BL, found.change_BL - found.delete_BL), (INSERT, what.inserted_BL, found.insert_BL))
        written, log = {}, []
        for edit, here_BL, chance_BL in chance_of:
            place = here_BL.nonzero(as_tuple=True)
            features_BLD = edits.about_BLD if edit == SUBSTITUTE else edits.features_BLD
            token_R, probability_R = self._tokens(board, edit, features_BLD[place], place)
            written[edit] = _scattered(here_BL, token_R), _scattered(here_BL, probability_R)
            log.append((place, edit, token_R, chance_BL[place], probability_R))
        place = what.deleted_BL.nonzero(as_tuple=True)
        nothing_R = torch.full_like(place[0], NO_TOKEN)
        log.append((place, DELETE, nothing_R, found.delete_BL[place], torch.ones_like(nothing_R, dtype=torch.float32)))
        self._tell(board, log)
        token_BL, probability_BL = written[SUBSTITUTE]
        other_BL = what.substituted_BL & (token_BL != board.tokens_BL)
        board.tokens_BL = torch.where(what.substituted_BL, token_BL, board.tokens_BL)
        board.probability_BL = torch.where(what.substituted_BL, probability_BL, board.probability_BL)
        board.step_BL = torch.where(what.substituted_BL, board.pass_B[:, None], board.step_BL)
        moved_BL = what.deleted_BL | what.inserted_BL
        board.stale_B = (other_BL | moved_BL).any(-1)
        return rebuilt(board, what.deleted_BL, what.inserted_BL, *written[INSERT]) if bool(moved_BL.any()) else board

    def _tokens(self, board: EditBoard, edit: int, features_RD: Tensor, place: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The tokens that are written, and the model's probability of each."""
        row_R, column_R = place
        if not len(row_R):
            return column_R, torch.zeros(0, device=row_R.device)
        logits_RV = token_logits(self.denoiser, edit, features_RD)
        self.ledger.head_rows += len(row_R)
        if len(self.marked.never_T):
            logits_RV.index_fill_(-1, self.marked.never_T, float("-inf"))
        uniform_R = None
        if self.choices.proposal.temperature > 0:
            purpose = torch.tensor(TOKEN + edit, device=row_R.device)
            uniform_R = self.stream.uniform(board.id_B[row_R], board.pass_B[row_R], column_R, purpose)
        proposed = propose(logits_RV, uniform_R, self.choices.proposal)
        far_B = torch.full((len(board),), float("inf"), device=row_R.device)
        board.ties_B += tied(self.denoiser.precision(), len(board), row_R, proposed, torch.ones_like(row_R, dtype=torch.bool), far_B)
        return proposed.token_R, proposed.logp_R.exp().float()

    def _tell(self, board: EditBoard, log: list[tuple[tuple[Tensor, ...], int, Tensor, Tensor, Tensor]]) -> None:
        row_E = torch.cat([place[0] for place, *_ in log])
        if not len(row_E):
            return
        column_E = torch.cat([place[1] for place, *_ in log])
        edit_E = torch.cat([torch.full_like(place[0], edit) for place, edit, *_ in log])
        # By row and position; of one position what becomes of its token before what comes behind it.
        order_E = ((row_E * board.tokens_BL.shape[1] + column_E) * (INSERT + 1) + edit_E).argsort()
        token_E, chance_E, probability_E = (torch.cat([item[index] for item in log]) for index in (2, 3, 4))  # type: ignore[misc]
        columns = (board.request_B[row_E], board.pass_B[row_E], edit_E, column_E, token_E, chance_E, probability_E)
        happened = Happened(*(column[order_E].tolist() for column in columns))
        for request, mine in happened.by_request().items():
            self._happened[request].add(mine)
        if self.watch is not None:
            self.watch(happened)

    # --- who is over

    def _leave(self, board: EditBoard, over_B: Tensor) -> list[Edited]:
        """The rows that are over; the others close ranks."""
        found = list(self._finished(board.taken(over_B.nonzero()[:, 0])))
        kept = (~over_B).nonzero()[:, 0]
        self.board = board.taken(kept)
        self._reader.keep(kept)
        return found

    def _finished(self, board: EditBoard) -> Iterator[Edited]:
        lists = (board.tokens_BL, board.step_BL, board.probability_BL, board.length_B, board.request_B, board.ends_B, board.ties_B)
        for tokens, step, probability, length, request, ends, ties in zip(*(part.tolist() for part in lists), strict=True):
            row = Edited(
                request=request,
                tokens=tokens[:length],
                step=step[:length],
                probability=probability[:length],
                passes=self.choices.steps,
                ties=ties,
                start=self._start.pop(request),
                edits=self._happened.pop(request),
            )
            self._count(row, ends)
            yield row

    def _count(self, row: Edited, ends: bool) -> None:
        written = [place for place, step in enumerate(row.step) if step not in (GIVEN, UNTOUCHED)]
        stops = set(self.marked.stops_T.tolist()) if ends else set()
        end = next((place for place in written if row.tokens[place] in stops), len(row.tokens))
        wasted = sum(place > end for place in written)
        self.ledger.wasted += wasted
        self.ledger.tokens += len(written) - wasted
        self.ledger.ties += row.ties


def _scattered(here_BL: Tensor, value_R: Tensor) -> Tensor:
    """Values at the places where `here_BL` is True, 0 elsewhere."""
    found = torch.zeros(here_BL.shape, dtype=value_R.dtype, device=value_R.device)
    found[here_BL] = value_R
    return found


@torch.inference_mode()
def edited(
    denoiser: Denoiser,
    canvas: Canvas,
    choices: EditChoices,
    flow: Flow,
    stream: Stream,
    *,
    marked: Marked | None = None,
    watch: Watch | None = None,
    ledger: Ledger | None = None,
) -> list[Edited]:
    """Edit every row of a canvas from its start. What is drawn for a row depends on its id, its own step and the position."""
    marked = marked or Marked.nothing(canvas.tokens_BL.device)
    engine = EditEngine(denoiser, choices, flow, stream, marked=marked, ledger=ledger or Ledger(), slots=len(canvas.id_B), watch=watch)
    engine.enter(canvas, list(range(len(canvas.id_B))))
    found: dict[int, Edited] = {}
    while len(engine):
        found.update({row.request: row for row in engine.step()})
    return [found[index] for index in range(len(canvas.id_B))]
