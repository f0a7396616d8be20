"""Estimates by formula, before anything is allocated: memory of a device, arithmetic, time. Numbers in, numbers out."""

from dataclasses import dataclass, fields
from typing import Literal

Precision = Literal["fp32", "bf16", "pure_bf16"]
"""`bf16`: weights in fp32, matrix products under autocast, as our runtime does; `pure_bf16`: weights in bf16."""
StrategyName = Literal["none", "ddp", "zero1", "zero2", "zero3", "fsdp2"]
Quantization = Literal["nf4", "int8"]
Attention = Literal["sdpa", "eager"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a training step's memory depends on beside the geometry."""

    micro: int
    length: int
    precision: Precision = "bf16"
    strategy: StrategyName = "none"
    world: int = 1
    accumulation: int = 1
    gradient_checkpointing: bool = False
    lora_rank: int | None = None
    saved_tables: int = 0
    """Matrices over the vocabulary that are trained whole beside an adapter."""
    quantization: Quantization | None = None
    optimizer: Literal["adamw"] = "adamw"
    averaged: bool = False
    """Whether an fp32 average of what is trained is kept."""
    master_weights: bool = False
    """An fp32 copy of bf16 weights in the optimizer, as DeepSpeed keeps: 16 bytes a parameter in all."""
    attention: Attention = "sdpa"
    copies: int = 1
    """Rows that the body reads for each row of the micro batch."""
    scored: float = 0.5
    """Mean share of the body's positions that reach the head."""
    most: float = 1.0
    """The largest share there can be."""
    stratified: bool = False
    """Whether one stratum of time is drawn per row of the global batch, in order: the last micro batch is then masked most."""
    device: Literal["cpu", "cuda"] = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSetting:
    """What the memory of a forward pass without gradients depends on; `scored`: positions that reach the head at once."""

    rows: int
    length: int
    scored: int
    precision: Precision = "bf16"
    lora_rank: int | None = None
    """Of an adapter that lies over the weights."""
    quantization: Quantization | None = None
    kv_cache: bool = False
    attention: Attention = "sdpa"
    device: Literal["cpu", "cuda"] = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of one device at its worst moment, and a range.

    `low`: no fragmentation. `high`: of what a step allocates and frees 10 % are lost to it instead of 5 (on a CPU 45 of all that
    training adds, instead of 30), and the logits are those of the most masked micro batch of a long run (three standard deviations
    of the mean of `micro` uniform times above the expected share). Dropout, rows of unequal length and offloading to the host are
    in neither.
    """

    moment: str
    low: int = 0
    high: int = 0
    weights: int = 0
    gathered: int = 0
    lora: int = 0
    gradients: int = 0
    communication: int = 0
    optimizer: int = 0
    master_weights: int = 0
    autocast_copies: int = 0
    activations: int = 0
    logits: int = 0
    step_buffers: int = 0
    kv_cache: int = 0
    context: int = 0
    fragmentation: int = 0

    @property
    def total(self) -> int:
        """Sum of all parts."""
        return sum(size for _, size in self.table())

    def table(self) -> list[tuple[str, int]]:
        """(part, bytes) of every part that is not empty, largest first."""
        parts = [(field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)]
        found = [(name, size) for name, size in parts if name not in ("moment", "low", "high") and size]
        return sorted(found, key=lambda part: -part[1])
