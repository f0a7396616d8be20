"""The loss of an Edit Flow on held-out rows: no bound of a likelihood, but with the same draws every time, so that it compares."""

from dataclasses import replace

import torch

from dllm_run.specs.vocabulary.objectives.edit_flow import EditFlow

from .denoiser import Denoiser
from .noise import Stream
from .objectives.edit_flow import EditFlowObjective
from .prepared import Split
from .rows import pad_rows


@torch.inference_mode()
def edit_loss(denoiser: Denoiser, word: EditFlow, split: Split, *, count: int, batch: int, stream: Stream) -> float:
    """The objective's loss over the first `count` sequences, one stratum of time each."""
    objective = EditFlowObjective(replace(word, time_sampling="stratified"))
    # A random stratum for every row: in their order the first would always have the most edits left.
    slots = stream.permutation(count, 0).tolist()
    device = next(denoiser.parameters()).device
    above = below = 0.0
    for start in range(0, count, batch):
        chosen = range(start, min(start + batch, count))
        sequences = [split.sequence(index) for index in chosen]
        rows = pad_rows(
            [tokens for tokens, _ in sequences],
            [prompt for _, prompt in sequences],
            pad=denoiser.mask_token,
            samples=list(chosen),
            visits=[0] * len(chosen),
            slots=[slots[index] for index in chosen],
            batch=count,
            aligned=[split.alignment(index) for index in chosen],
        ).to(device)
        loss = objective.loss(denoiser, rows, objective.draw(stream, rows))
        above, below = above + float(loss.numerator), below + float(loss.denominator)
    return above / max(1.0, below)
