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
    quantization: Quantization | None = None
    optimizer: Literal["adamw"] = "adamw"
    master_weights: bool = False
    """An fp32 copy of bf16 weights in the optimizer, as DeepSpeed keeps: 16 bytes a parameter in all."""
    attention: Attention = "sdpa"
    scored: float = 0.5
    """Mean share of positions that reach the head."""
    stratified: bool = False
    """Whether one stratum of time is drawn per row of the global batch, in order: the last micro batch is then masked most."""
    logit_chunk: int | None = None
    """Positions whose logits exist at once; None: all of the micro batch."""
    device: Literal["cpu", "cuda"] = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSetting:
    """What the memory of a forward pass without gradients depends on; `scored`: positions that reach the head at once."""

    rows: int
    length: int
    scored: int
    precision: Precision = "bf16"
    quantization: Quantization | None = None
    kv_cache: bool = False
    attention: Attention = "sdpa"
    device: Literal["cpu", "cuda"] = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of one device at its worst moment, and a range.

    `low`: no fragmentation. `high`: of what a step allocates and frees 10 % are lost to it instead of 5, and the logits are those
    of the most masked micro batch of a long run (three standard deviations of the mean of `micro` uniform times above the expected
    share). Dropout, rows of unequal length and offloading to the host are in neither.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU: bytes that programs see (CUDA's total memory, below the nominal size), dense bf16 peak in TFLOP/s."""

    memory: int
    tflops: float


# Peaks are those of the data sheets, without sparsity, fp32 accumulation, SXM cards of A100, H100 and H200.
DEVICES: dict[str, Device] = {
    "a100-40gb": Device(memory=42_200_000_000, tflops=312.0),
    "a100-80gb": Device(memory=84_900_000_000, tflops=312.0),
    "h100-80gb": Device(memory=84_900_000_000, tflops=989.0),
    "h200-141gb": Device(memory=150_000_000_000, tflops=989.0),
    "v100-32gb": Device(memory=34_000_000_000, tflops=15.7),  # no bf16 units: the fp32 peak
    "l40s-48gb": Device(memory=47_600_000_000, tflops=362.0),
    "rtx4090-24gb": Device(memory=25_200_000_000, tflops=165.0),
    "rtx3090-24gb": Device(memory=25_300_000_000, tflops=71.0),
}
