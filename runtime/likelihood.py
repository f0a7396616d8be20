"""The evidence lower bound: an upper bound on the negative log-likelihood, by Monte Carlo over masks. B rows, L positions, R masked."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoiser import Denoiser
from .noise import Stream
from .rows import Aligned, Rows, pad_rows
from .seen import everyone


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A sequence whose tokens after the first `prompt` are scored, or those that `learned` names."""

    tokens: list[int]
    id: int
    """What its masks hang on: never its place in a batch."""
    prompt: int = 0
    aligned: Aligned | None = None
    """With its start, where edits are scored."""
    learned: list[bool] | None = None
    """For each token whether it is scored; None: those after the prompt are."""
    documents: list[int] | None = None
    """Lengths of the texts that share the row and do not see each other; None: it is one text."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Nats, summed over the scored tokens of one sequence."""

    nll: float
    error: float
    """Standard error over the masks; not a number for a single mask."""


RowBounds = Callable[[Denoiser, Rows, Stream], Tensor]
"""(denoiser, rows, stream) -> an unbiased estimate of an upper bound on -log p of every row, float64 [B]."""


@torch.inference_mode()
def averaged(
    bounds: RowBounds,
    denoiser: Denoiser,
    sequences: list[Scored],
    *,
    stream: Stream,
    samples: int,
    batch: int,
    across: bool,
    progress: Callable[[int, int], None] | None = None,
) -> list[Bound]:
    """A bound for every sequence, the mean of `samples` estimates.

    The shares of masked tokens are stratified over the masks of a sequence, or with `across` over all masks of all sequences, which
    suits a mean over many sequences with few masks each. Masks depend on the sequence's id alone, so neither batch nor order changes
    a number (with `across` the order counts).
    """
    total = len(sequences) * samples
    # A random stratum for every mask: in the order of the sequences the first would always have the fewest masks.
    slots = stream.permutation(total, 0).tolist() if across else [sample for _ in sequences for sample in range(samples)]
    jobs = [(index, sample) for index in range(len(sequences)) for sample in range(samples)]
    # Long first: padding is least where neighbours are of one length, and what does not fit in memory fails at once.
    jobs.sort(key=lambda job: -len(sequences[job[0]].tokens))
    sums, device = [[0.0] * samples for _ in sequences], next(denoiser.parameters()).device
    for start in range(0, total, batch):
        chunk = jobs[start : start + batch]
        rows = pad_rows(
            [sequences[index].tokens for index, _ in chunk],
            [sequences[index].prompt for index, _ in chunk],
            pad=denoiser.mask_token,
            samples=[sequences[index].id for index, _ in chunk],
            visits=[sample for _, sample in chunk],
            slots=[slots[index * samples + sample] for index, sample in chunk],
            batch=total if across else samples,
            aligned=_aligned([sequences[index] for index, _ in chunk]),
            learned=[sequences[index].learned for index, _ in chunk],
            documents=[sequences[index].documents for index, _ in chunk],
        )
        for (index, sample), value in zip(chunk, bounds(denoiser, rows.to(device), stream).tolist(), strict=True):
            sums[index][sample] = value
        if progress is not None:
            progress(start + len(chunk), total)
    return [_bound(values) for values in sums]


def _aligned(sequences: list[Scored]) -> list[Aligned] | None:
    found = [item.aligned for item in sequences if item.aligned is not None]
    return found if len(found) == len(sequences) else None


def whole_rows(denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
    """E_k[n/k times the sum over k masked of -log p], k even over 1 to the n scored tokens of a row (arXiv 2502.09992, eq. 6).

    It has the mean of the ELBO under any schedule, E_t[w(t) ...], and bounded weights: 1/t has no finite variance.
    """
    column_L = torch.arange(rows.tokens_BL.shape[1], device=rows.tokens_BL.device)
    masked_BL, weight_B = counted_masks(rows, share_of(rows, stream), column_L, stream)
    hidden_BLD = denoiser.hidden(rows.tokens_BL.masked_fill(masked_BL, denoiser.mask_token), everyone(rows.valid_BL, rows.document_BL))
    target_R = rows.tokens_BL[masked_BL]
    entropy_R = denoiser.cross_entropy(hidden_BLD[masked_BL], target_R, torch.ones_like(target_R, dtype=torch.float32)).nll_R.double()
    return summed(entropy_R, masked_BL) * weight_B


def summed(value_R: Tensor, chosen_BL: Tensor) -> Tensor:
    """Sums of the values of the chosen positions, [B]."""
    row_R = chosen_BL.nonzero()[:, 0]
    return torch.zeros(len(chosen_BL), dtype=value_R.dtype, device=row_R.device).index_add_(0, row_R, value_R)


def share_of(rows: Rows, stream: Stream) -> Tensor:
    """The share of masked tokens of each row, float64 [B] in (0, 1): one in each stratum of the rows' `batch`."""
    return (rows.slot_B + uniform_of(rows, stream).double()) / rows.batch


def uniform_of(rows: Rows, stream: Stream) -> Tensor:
    """A uniform of each row: -1 stands where the uniforms of positions have theirs."""
    return stream.uniform(rows.sample_B, rows.visit_B, torch.tensor(-1, device=rows.tokens_BL.device))


def counted_masks(rows: Rows, share_B: Tensor, place_XL: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
    """Masks [B, L] of k positions of the n scored ones, k even over 1 to n, and the weights n / k [B] in float64.

    `place_XL`: what the uniform of a position hangs on.
    """
    scored_B = rows.maskable_BL.sum(-1)
    count_B = (share_B * scored_B).long().minimum(scored_B - 1) + 1
    u_BL = stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], place_XL).masked_fill(~rows.maskable_BL, 2.0)
    order_BL = u_BL.argsort(dim=-1, stable=True)
    position_L = torch.arange(rows.tokens_BL.shape[1], device=order_BL.device)
    rank_BL = torch.empty_like(order_BL).scatter_(1, order_BL, position_L.expand_as(order_BL))
    return (rank_BL < count_B[:, None]) & rows.maskable_BL, scored_B.double() / count_B.clamp(min=1)


def _bound(values: list[float]) -> Bound:
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Bound(mean, math.nan)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Bound(mean, math.sqrt(variance / len(values)))
