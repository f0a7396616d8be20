"""A learning rate that stays, and falls at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem
from dllm_run.specs.quantity import Quantity

from . import LrSchedule

_SHAPES = {"linear": "linear", "cosine": "cosine", "sqrt": "1-sqrt"}
"""Our words for the fall, and transformers'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wsd(LrSchedule):
    """Warm-up, stable, decay (arXiv 2404.06395): the peak until `decay` is left, then down to a share of it."""

    word: ClassVar[str] = "wsd"
    library: ClassVar[str] = "warmup_stable_decay"

    decay: Quantity = leaf(
        "The end in which it falls: `1000 steps` or a fraction of the run.",
        factory=lambda: Quantity.parse(0.1),
        units=("steps", "fraction"),
        above=0,
        maximum=1,
    )
    shape: str = leaf(
        "How it falls: in a line, by half a cosine, or as 1 - sqrt(share of the way).", default="linear", choices=tuple(_SHAPES)
    )
    min_ratio: float = leaf("Where it ends, and where the warm-up begins, as a share of the peak.", default=0.0, minimum=0, below=1)

    def arguments(self, *, steps: int, warmup: int, peak: float) -> dict[str, float | str]:
        return {"num_decay_steps": self.decay.of(steps), "decay_type": _SHAPES[self.shape], "min_lr_ratio": self.min_ratio}

    def problems_within(self, steps: int, warmup: int) -> Iterator[Problem]:
        decay = self.decay.of(steps)
        if warmup + decay > steps and warmup <= steps:
            yield Problem(
                code="E312",
                message=f"{warmup} steps of warm-up and {decay} of decay are more than the run has",
                path=("decay",),
                fix=(("decay",), f"{steps - warmup} steps") if warmup < steps else None,
            )
