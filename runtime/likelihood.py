"""The evidence lower bound: an upper bound on the negative log-likelihood, by Monte Carlo over masks. B rows, L positions, R masked."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .denoiser import Denoiser
from .noise import Stream
from .objectives import Draws
from .objectives.mdlm import masked_positions
from .rows import Rows, pad_rows
from .schedules import Schedule
from .weightings.schedule import elbo_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A sequence whose tokens after the first `prompt` are scored."""

    tokens: list[int]
    id: int
    """What its masks hang on: never its place in a batch."""
    prompt: int = 0


@dataclass(frozen=True, slots=True)
class Bound:
    """Nats, summed over the scored tokens of one sequence."""

    nll: float
    error: float
    """Standard error over the masks; not a number for a single mask."""


@torch.inference_mode()
def elbo(
    denoiser: Denoiser,
    sequences: list[Scored],
    *,
    schedule: Schedule,
    stream: Stream,
    samples: int,
    batch: int,
    across: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Bound]:
    """A bound for every sequence from `samples` masks each: E_t[w(t) sum over masked of -log p] (arXiv 2406.07524, eq. 10).

    Times are stratified over the masks of a sequence, or with `across` over all masks of all sequences, which suits a mean over
    many sequences with few masks each. Masks depend on the sequence's id alone, so neither batch nor order changes a number (with
    `across` the order counts).
    """
    total = len(sequences) * samples
    # A random stratum for every mask: in the order of the sequences the first would always have the smallest times.
    slots = stream.permutation(total, 0).tolist() if across else [sample for _ in sequences for sample in range(samples)]
    jobs = [(index, sample) for index in range(len(sequences)) for sample in range(samples)]
    # Long first: padding is least where neighbours are of one length, and what does not fit in memory fails at once.
    jobs.sort(key=lambda job: -len(sequences[job[0]].tokens))
    sums = [[0.0] * samples for _ in sequences]
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
        )
        for (index, sample), value in zip(chunk, _losses(denoiser, rows, schedule, stream), strict=True):
            sums[index][sample] = value
        if progress is not None:
            progress(start + len(chunk), total)
    return [_bound(values) for values in sums]


def _losses(denoiser: Denoiser, rows: Rows, schedule: Schedule, stream: Stream) -> list[float]:
    rows = rows.to(next(denoiser.parameters()).device)
    position_L = torch.arange(rows.tokens_BL.shape[1], device=rows.tokens_BL.device)
    u_B = stream.uniform(rows.sample_B, rows.visit_B, torch.tensor(-1, device=position_L.device))
    draws = Draws((rows.slot_B + u_B) / rows.batch, stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], position_L[None, :]))
    masked_BL = masked_positions(schedule, rows, draws)
    logits_RV = denoiser(rows.tokens_BL.masked_fill(masked_BL, denoiser.mask_token), rows.valid_BL, masked_BL)
    entropy_R = F.cross_entropy(logits_RV, rows.tokens_BL[masked_BL], reduction="none").double()
    row_R = masked_BL.nonzero()[:, 0]
    # Weights are taken at masked positions only: at a time so small that 1 - alpha rounds to 0 nothing is masked and w is infinite.
    weighted_R = entropy_R * elbo_weight(schedule, draws.time_B).double()[row_R]
    found: list[float] = torch.zeros(len(rows.sample_B), dtype=torch.float64, device=row_R.device).index_add_(0, row_R, weighted_R).tolist()
    return found


def _bound(values: list[float]) -> Bound:
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Bound(mean, math.nan)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Bound(mean, math.sqrt(variance / len(values)))


def mean_error(bounds: Iterable[Bound]) -> float:
    """Standard error of a sum of independent bounds."""
    return math.sqrt(math.fsum(bound.error**2 for bound in bounds))
