"""Devices, precision and threads of a stage."""

import functools
from dataclasses import dataclass, replace

from dllm_run.specs.devices import DEVICES
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """What a stage computes on, and in which precision."""

    device: str | None = leaf(
        "Where tensors live; null: cuda where GPUs are declared, else cpu.", default=None, choices=("cpu", "cuda"), effect=Effect.NUMERICS
    )
    gpus_per_node: int = leaf("GPUs of a node.", default=0, minimum=0, maximum=1, effect=Effect.NUMERICS)
    gpu: str | None = leaf(
        "Which GPU that is: memory is then checked, and `batch.micro` solved, before anything runs; null: not said.",
        default=None,
        choices=tuple(DEVICES),
        effect=Effect.NUMERICS,
    )
    precision: str = leaf("Precision of matrix products; weights stay in the model's dtype.", default="fp32", choices=("fp32", "bf16"))
    threads: int | None = leaf(
        "CPU threads of a process; null: all cores of the machine, the same again when a run continues.",
        default=None,
        minimum=1,
        effect=Effect.NUMERICS,
    )
    attention_kernel: str = leaf("Implementation of attention.", default="sdpa", choices=("sdpa", "eager"), effect=Effect.NUMERICS)
    gradient_checkpointing: bool = leaf("Recompute activations in the backward pass to save memory.", default=False, effect=Effect.NUMERICS)
    deterministic: bool = leaf(
        "Refuse kernels that may round differently from run to run; on a CPU none do.", default=False, effect=Effect.NUMERICS
    )

    def completed(self) -> "Compute":
        """With the device decided."""
        return _completed(self)


@functools.lru_cache(maxsize=256)
def _completed(compute: Compute) -> Compute:
    # One object for equal ones: the stages of a sweep share it.
    return replace(compute, device=compute.device or ("cuda" if compute.gpus_per_node else "cpu"))
