"""What an objective says of held-out sequences, always with the same draws."""

from .denoiser import Denoiser
from .likelihood import Scored, averaged
from .noise import Stream
from .objectives import Objective
from .prepared import Sequences


def held_out_loss(objective: Objective, denoiser: Denoiser, split: Sequences, *, count: int, batch: int, stream: Stream) -> float:
    """Per scored token of the first `count` sequences, in nats, one draw each with times stratified over all of them."""
    scored = [_scored(split, index) for index in range(count)]
    bounds = averaged(objective.bound, denoiser, scored, stream=stream, samples=1, batch=batch, across=True)
    return sum(found.nll for found in bounds) / max(1, sum(sum(item.learned or ()) for item in scored))


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
