"""Edit Flows (arXiv 2506.09018): learn the rates of the edits that turn a text into its goal. B rows, C columns, L positions, R edits.

At time t each column of the alignment holds the goal's token with probability kappa(t), else the start's. The loss of a row is
w(t) (sum of all rates - sum over columns that still differ of log rate - log p(token)), w = kappa' / (1 - kappa).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.objectives.edit_flow import EditFlow

from ..align import BLANK
from ..build import build as build_word
from ..denoiser import Denoiser
from ..edit_heads import DELETE, INSERT, SUBSTITUTE, log_rate, rates, read, token_entropy
from ..kappas import Kappa, rate_weight
from ..noise import Stream
from ..rows import Rows
from ..seen import everyone
from . import Loss, Objective


@dataclass(frozen=True, slots=True)
class EditDraws:
    """The random numbers of one batch."""

    time_B: Tensor
    """float32 in [0, 1)."""
    column_BC: Tensor
    """float32 in (0, 1): a column holds the goal's token where this is below kappa(t)."""


class Noisy(NamedTuple):
    """Texts on the way, and the edits that remain."""

    tokens_BL: Tensor
    valid_BL: Tensor
    row_R: Tensor
    position_R: Tensor
    """Of the token that is substituted or deleted, or that something is inserted behind."""
    edit_R: Tensor
    """SUBSTITUTE, DELETE or INSERT."""
    token_R: Tensor
    """The goal's token; BLANK of a deletion."""


class EditFlowObjective:
    """The objective of the word."""

    def __init__(self, word: EditFlow) -> None:
        self.schedule: Kappa = build_word(word.schedule)
        self.max_weight = word.max_weight
        self.normalise = word.normalise
        self.epsilon = word.time_epsilon
        self.stratified = word.time_sampling == "stratified"

    def draw(self, stream: Stream, rows: Rows) -> EditDraws:
        """t in [0, 1 - epsilon), one stratum per row if stratified; a uniform per column."""
        return self._draw(stream, rows, stratified=self.stratified)

    def _draw(self, stream: Stream, rows: Rows, *, stratified: bool) -> EditDraws:
        _, goal_BC = columns(rows)
        column_C = torch.arange(goal_BC.shape[1], device=goal_BC.device)
        # Column -1 is the row's time, the others its own: one stream, no two numbers shared.
        u_B = stream.uniform(rows.sample_B, rows.visit_B, torch.tensor(-1, device=column_C.device))
        if stratified:
            u_B = (rows.slot_B.to(torch.float32) + u_B) / rows.batch
        column_BC = stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], column_C[None, :])
        return EditDraws((1 - self.epsilon) * u_B, column_BC)

    def denominator(self, rows: Rows) -> Tensor:
        """Goal tokens behind the prompts, or rows."""
        counted = rows.maskable_BL if self.normalise == "token" else rows.maskable_BL[:, 0].new_ones(len(rows.sample_B))
        return counted.sum(dtype=torch.float64)

    def loss(self, denoiser: Denoiser, rows: Rows, draws: EditDraws) -> Loss:
        """Weighted sum over the batch; only what remains to be substituted or inserted reaches a head of tokens."""
        weight_B = rate_weight(self.schedule, draws.time_B, self.max_weight)
        if self.normalise == "sequence":
            weight_B = weight_B / rows.maskable_BL.sum(-1).clamp(min=1)
        return Loss(self._weighed(denoiser, rows, draws, weight_B).total, self.denominator(rows))

    def bound(self, denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        """What evaluation averages: the loss of every row, float64 [B]. It is no bound of a likelihood."""
        draws = self._draw(stream, rows, stratified=True)
        weight_B = rate_weight(self.schedule, draws.time_B, self.max_weight)
        return self._weighed(denoiser, rows, draws, weight_B).row_B * weight_B

    def _weighed(self, denoiser: Denoiser, rows: Rows, draws: EditDraws, weight_B: Tensor) -> "_Weighed":
        start_BC, goal_BC = columns(rows)
        at_goal_BC = draws.column_BC < self.schedule.kappa(draws.time_B)[:, None]
        noisy = compacted(torch.where(at_goal_BC, goal_BC, start_BC), goal_BC, fill=denoiser.mask_token)
        edits = read(denoiser, noisy.tokens_BL, everyone(noisy.valid_BL))
        weight_B = weight_B.to(edits.rate_BL3.dtype)
        all_B = (rates(edits) * noisy.valid_BL[:, :, None]).sum((1, 2))
        log_R = log_rate(edits.rate_BL3[noisy.row_R, noisy.position_R, noisy.edit_R])
        total = (weight_B * all_B).sum() - (weight_B[noisy.row_R] * log_R).sum()
        row_B = all_B.detach().double().index_add(0, noisy.row_R, -log_R.detach().double())
        for edit, features_BLD in ((SUBSTITUTE, edits.about_BLD), (INSERT, edits.features_BLD)):
            chosen_R = noisy.edit_R == edit
            row_K = noisy.row_R[chosen_R]
            features_KD = features_BLD[row_K, noisy.position_R[chosen_R]]
            found = token_entropy(denoiser, edit, features_KD, noisy.token_R[chosen_R], weight_B[row_K])
            total, row_B = total + found.total, row_B.index_add(0, row_K, found.nll_R.double())
        return _Weighed(total, row_B)


class _Weighed(NamedTuple):
    total: Tensor
    """Scalar with gradient: the weighted sum."""
    row_B: Tensor
    """Of each row without its weight, without gradient."""


def columns(rows: Rows) -> tuple[Tensor, Tensor]:
    """The columns of start and goal, int64 [B, C]."""
    assert rows.start_BC is not None and rows.goal_BC is not None, "the data were prepared for edits"
    return rows.start_BC, rows.goal_BC


def compacted(noisy_BC: Tensor, goal_BC: Tensor, *, fill: int) -> Noisy:
    """Texts without their blanks, padded with `fill`, and for every column that differs from its goal the edit that remains."""
    there_BC = noisy_BC != BLANK
    upto_BC = there_BC.cumsum(-1)
    count_B = upto_BC[:, -1]
    length = int(count_B.max())
    # Blanks go to a place behind the end, which is cut off.
    tokens_BL = torch.full((len(noisy_BC), length + 1), fill, dtype=torch.int64, device=noisy_BC.device)
    tokens_BL.scatter_(1, (upto_BC - 1).where(there_BC, length), noisy_BC)
    position_L = torch.arange(length, device=noisy_BC.device)
    valid_BL = position_L < count_B[:, None]
    row_R, column_R = (noisy_BC != goal_BC).nonzero(as_tuple=True)
    here_R, token_R = there_BC[row_R, column_R], goal_BC[row_R, column_R]
    edit_R = torch.where(here_R, torch.where(token_R == BLANK, DELETE, SUBSTITUTE), INSERT)
    # A token stands where as many others come before it; behind the last of these one is inserted. Before the first there is no place.
    position_R = (upto_BC[row_R, column_R] - 1).clamp(min=0)
    return Noisy(tokens_BL[:, :length].where(valid_BL, fill), valid_BL, row_R, position_R, edit_R, token_R)


def build(word: EditFlow) -> Objective:
    """The objective of the word."""
    return EditFlowObjective(word)
