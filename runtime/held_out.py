"""What an objective says of held-out sequences, always with the same draws, shared out among the processes of a stage."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .denoiser import Denoiser
from .likelihood import RowBounds, Scored, averaged
from .meeting import summed
from .noise import Stream
from .objectives import Objective
from .prepared import Sequences
from .rows import Rows
from .world import ALONE, World


def held_out_loss(
    objective: Objective,
    denoiser: Denoiser,
    split: Sequences,
    *,
    count: int,
    batch: int,
    stream: Stream,
    world: World = ALONE,
    within: Callable[..., Any] | None = None,
) -> float:
    """Per scored token of the first `count` sequences, in nats, one draw each with times stratified over all of them.

    `within` is the denoiser in whatever wraps it where its weights are divided among processes.
    """
    scored = [_scored(split, index) for index in range(count)]
    bound = objective.bound if world.size == 1 else _Shared(objective.bound, world, within or denoiser, passes=-(-count // batch))
    bounds = averaged(bound, denoiser, scored, stream=stream, samples=1, batch=batch, across=True)
    total = torch.tensor(sum(found.nll for found in bounds), dtype=torch.float64)
    return float(summed(total)) / max(1, sum(sum(item.learned or ()) for item in scored))


def _scored(split: Sequences, index: int) -> Scored:
    found = split.sequence(index)
    return Scored(
        tokens=found.tokens,
        id=index,
        prompt=found.prompt,
        aligned=split.alignment(index) if split.aligned else None,
        learned=found.learned,
        documents=found.documents,
    )


class _Shared:
    """Every process computes its turns among the passes, and says 0 in those of the others."""

    def __init__(self, bound: RowBounds, world: World, within: Callable[..., Any], *, passes: int) -> None:
        self.bound = bound
        self.world = world
        self.within = within
        self.passes = passes
        self.turn = 0

    def __call__(self, denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        turn, self.turn = self.turn, self.turn + 1
        mine = turn % self.world.size == self.world.rank
        # Where weights are divided every process takes part in every pass: all compute as often, one without a turn the last one again.
        again = turn == self.passes - 1 and self.world.rank > turn % self.world.size
        if mine or again:
            # What gathers weights keeps its buffers for training, where nothing made under inference mode may go.
            with torch.inference_mode(False), torch.no_grad():
                value: Tensor = self.within(self.bound, rows, stream)
            if mine:
                return value
        return torch.zeros(len(rows.tokens_BL), dtype=torch.float64)
