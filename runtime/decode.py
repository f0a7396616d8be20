"""The sampler engine: one loop over windows, proposals, confidences and quotas. B rows, L columns, R scored positions, V vocabulary."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .canvas import Canvas
from .denoiser import Denoiser
from .noise import Stream
from .proposal import propose
from .samplers import Choices
from .seen import everyone


@dataclass(frozen=True, slots=True)
class Reveal:
    """What one step committed: parallel lists of row, column, token and probability."""

    step: int
    rows: list[int]
    columns: list[int]
    tokens: list[int]
    probability: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A filled canvas with the trace of how."""

    tokens_BL: Tensor
    step_BL: Tensor
    """int16: the row's own step that committed a position; -1 where it was given."""
    probability_BL: Tensor
    """float32: the model's probability of the committed token; 1 where it was given."""
    passes: int
    """Forward passes of the body."""
    head_rows: int
    """Rows of logits that were computed."""


@torch.inference_mode()
def decode(
    denoiser: Denoiser,
    canvas: Canvas,
    choices: Choices,
    stream: Stream,
    *,
    forbidden: tuple[int, ...] = (),
    watch: Callable[[Reveal], None] | None = None,
) -> Decoded:
    """Fill every open position. Rows are independent: what is drawn for one depends on its id, its own step and the position.

    Every row goes through its blocks at its own pace and leaves the batch when it is full.
    """
    passes, head_rows = denoiser.body_passes, denoiser.head_rows
    block_BL, steps_B = _windows(canvas, choices)
    tokens_BL = canvas.tokens_BL.clone()
    step_BL = torch.full_like(tokens_BL, -1, dtype=torch.int16)
    probability_BL = torch.ones_like(tokens_BL, dtype=torch.float32)
    open_BL = canvas.open_BL.clone()
    never = torch.tensor(sorted(forbidden), dtype=torch.int64, device=tokens_BL.device)
    step = 0
    while bool(open_BL.any()):
        kept = open_BL.any(-1).nonzero()[:, 0]
        now_KL = _active(open_BL[kept], block_BL[kept])
        logits_RV = denoiser.logits(tokens_BL[kept], everyone(canvas.valid_BL[kept]), now_KL)
        if len(never):
            logits_RV = logits_RV.index_fill(-1, never, float("-inf"))
        uniform_R = rank_R = None
        if choices.draws:
            where = (canvas.id_B[kept][:, None], torch.tensor(step, device=kept.device), canvas.position_BL[kept])
            uniform_R = stream.uniform(*where, torch.tensor(0, device=kept.device))[now_KL]
            rank_R = stream.uniform(*where, torch.tensor(1, device=kept.device))[now_KL]
        token_R, logp_R = propose(logits_RV, uniform_R, choices.temperature)
        confidence_R = choices.confidence(logp_R, logp_R if rank_R is None else rank_R, logits_RV)
        commit_KL = _select(now_KL, confidence_R, _quota(open_BL[kept], block_BL[kept], canvas.open_BL[kept], steps_B[kept]))
        chosen_R = commit_KL[now_KL]
        row, column = commit_KL.nonzero(as_tuple=True)
        place = (kept[row], column)
        tokens_BL[place] = token_R[chosen_R]
        probability_BL[place] = logp_R[chosen_R].exp()
        step_BL[place] = step
        open_BL[place] = False
        if watch is not None:
            found = (kept[row], column, token_R[chosen_R], logp_R[chosen_R].exp())
            watch(Reveal(step, *(part.tolist() for part in found)))
        step += 1
    assert not bool(((tokens_BL == denoiser.mask_token) & canvas.open_BL).any()), "a mask was left"
    return Decoded(
        tokens_BL=tokens_BL,
        step_BL=step_BL,
        probability_BL=probability_BL,
        passes=denoiser.body_passes - passes,
        head_rows=denoiser.head_rows - head_rows,
    )


def _windows(canvas: Canvas, choices: Choices) -> tuple[Tensor, Tensor]:
    """The block of every position, and the steps that each row gives a block (0: one token a step)."""
    place_BL = (canvas.position_BL - canvas.prompt_B[:, None]).clamp(min=0)
    block_BL = place_BL // choices.block_size if choices.block_size is not None else torch.zeros_like(place_BL)
    if choices.steps is None:
        return block_BL, torch.zeros_like(canvas.prompt_B)
    # Blocks without an open position take no steps: the others share them.
    blocks = int(block_BL.max()) + 1
    used_BK = torch.zeros(len(block_BL), blocks, dtype=torch.bool, device=block_BL.device)
    used_BK.scatter_reduce_(1, block_BL, canvas.open_BL, "amax")
    return block_BL, (choices.steps // used_BK.sum(-1).clamp(min=1)).clamp(min=1)


def _active(open_KL: Tensor, block_KL: Tensor) -> Tensor:
    """Open positions of each row's first unfinished block."""
    far = block_KL.max() + 1
    current_K1 = torch.where(open_KL, block_KL, far).min(-1, keepdim=True).values
    return open_KL & (block_KL == current_K1)


def _quota(open_KL: Tensor, block_KL: Tensor, start_KL: Tensor, steps_K: Tensor) -> Tensor:
    """How many positions each row commits now: n positions over S steps are n // S each, the first n mod S steps one more."""
    now_KL = _active(open_KL, block_KL)
    current_K1 = torch.where(now_KL, block_KL, 0).max(-1, keepdim=True).values
    all_K = (start_KL & (block_KL == current_K1)).sum(-1)
    left_K = now_KL.sum(-1)
    steps_K = torch.where(steps_K > 0, torch.minimum(steps_K, all_K), all_K)
    base_K, extra_K = all_K // steps_K, all_K % steps_K
    done_K = all_K - left_K
    # Step s began with s * (base + 1) committed while s < extra; the count of those done tells which side we are on.
    return torch.where(done_K < extra_K * (base_K + 1), base_K + 1, base_K).minimum(left_K)


def _select(now_KL: Tensor, confidence_R: Tensor, quota_K: Tensor) -> Tensor:
    """The `quota` most confident active positions of each row; of equals the leftmost."""
    confidence_KL = torch.full(now_KL.shape, float("-inf"), device=now_KL.device)
    # An active position is always ahead of the others, or a token of probability 0 would stall its row.
    confidence_KL[now_KL] = confidence_R.clamp(min=torch.finfo(torch.float32).min)
    order_KL = confidence_KL.argsort(dim=-1, descending=True, stable=True)
    rank_KL = torch.empty_like(order_KL).scatter_(1, order_KL, torch.arange(now_KL.shape[1], device=now_KL.device).expand_as(order_KL))
    return now_KL & (rank_KL < quota_K[:, None])
