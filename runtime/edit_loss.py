"""The loss of an Edit Flow on held-out rows: no bound of a likelihood, but with the same draws every time, so that it compares."""

import torch

from .denoiser import Denoiser
from .noise import Stream
from .objectives.edit_flow import EditFlowObjective
from .prepared import Split
from .rows import pad_rows


@torch.inference_mode()
def edit_loss(denoiser: Denoiser, objective: EditFlowObjective, split: Split, *, count: int, batch: int, stream: Stream) -> float:
    """Per goal token of the first `count` sequences, however training normalises; one stratum of time each."""
    # A random stratum for every row: in their order the first would always have the most edits left.
    slots = stream.permutation(count, 0).tolist()
    device = next(denoiser.parameters()).device
    total, tokens = 0.0, 0
    for start in range(0, count, batch):
        chosen = range(start, min(start + batch, count))
        sequences = [split.sequence(index) for index in chosen]
        rows = pad_rows(
            [ids for ids, _ in sequences],
            [prompt for _, prompt in sequences],
            pad=denoiser.mask_token,
            samples=list(chosen),
            visits=[0] * len(chosen),
            slots=[slots[index] for index in chosen],
            batch=count,
            aligned=[split.alignment(index) for index in chosen],
        )
        total += float(objective.bound(denoiser, rows.to(device), stream).sum())
        tokens += int(rows.maskable_BL.sum())
    return total / max(1, tokens)
