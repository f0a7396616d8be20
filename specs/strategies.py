"""Strategies by which processes share a training step, as data: what is divided, and whose machinery does it."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """What a strategy needs and does."""

    several: bool = True
    """Whether it is for more than one process; the other one is for exactly one."""
    zero_stage: int | None = None
    """Stage of DeepSpeed's ZeRO."""
    weights: bool = False
    """Whether no process holds all weights: every process must take part in every pass."""
    checkpoint: str
    """Form of its checkpoints: strategies of one form continue those of each other."""
    reshapes: bool = True
    """Whether another number of processes can continue its checkpoints."""


STRATEGIES: Final = MappingProxyType(
    {
        "none": Strategy(several=False, checkpoint="whole"),
        "ddp": Strategy(checkpoint="whole"),
        "zero1": Strategy(zero_stage=1, checkpoint="zero1", reshapes=False),
        "zero2": Strategy(zero_stage=2, checkpoint="zero2", reshapes=False),
        "zero3": Strategy(zero_stage=3, checkpoint="zero3", weights=True, reshapes=False),
        "fsdp2": Strategy(weights=True, checkpoint="fsdp2"),
    }
)
"""By their name in a spec."""
