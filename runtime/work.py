"""What a training step has to do and how fast it was done: tokens, rows, operations, and the share of the peak of the devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from dllm_run.specs.devices import device_called
from dllm_run.specs.flops import training_flops
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.vocabulary.compute import Compute


class Work(NamedTuple):
    """What was asked of a network: padding is not in it."""

    positions: float = 0
    """Tokens that the body read: of some objectives more than those of the rows."""
    pairs: float = 0
    """Pairs of tokens of one row: every token is counted as seeing its whole row, also where a mask hides a part of it."""
    scored: float = 0
    """Positions that reached a head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedometer:
    """What turns the work of a step and its seconds into rates.

    Operations are those of `training_flops`: 6 per trained weight and position that the body read, attention, the head where it
    scored; of frozen weights 4, and 6 per weight of an adapter. What is computed again, and padding, do not count as work.
    """

    geometry: Geometry | None
    """None for an architecture whose operations are not known: none are then told."""
    adapters: int | None
    """Weights of the adapter; None where the weights themselves are trained."""
    peak: float | None
    """FLOP/s of all devices together; None where it is not known, as of a CPU: no share of it is then told."""

    def flops(self, work: Work) -> float | None:
        """Operations of a step."""
        if self.geometry is None or not work.positions:
            return None
        length, share = work.pairs / work.positions, work.scored / work.positions
        return training_flops(self.geometry, tokens=work.positions, length=length, scored_share=share, adapters=self.adapters)

    def numbers(self, work: Work, *, tokens: float, rows: float, seconds: float) -> dict[str, float]:
        """What is told of a step: tokens of its rows, the rows, operations, and the share of the peak that these are."""
        seconds = max(seconds, 1e-9)
        found = {"tokens_per_second": tokens / seconds, "samples_per_second": rows / seconds}
        flops = self.flops(work)
        if flops is not None:
            found["flops_per_second"] = flops / seconds
            if self.peak is not None:
                found["model_flops_utilization"] = flops / seconds / self.peak
        return found


def speedometer(network: Any, compute: Compute) -> Speedometer:
    """For a network as it is trained, before its weights are shared out."""
    adapters = sum(value.numel() for name, value in network.named_parameters() if value.requires_grad and "lora_" in name)
    return Speedometer(
        geometry=Geometry.from_config(_plain(network.config)),
        adapters=adapters if "adapter" in vars(network) else None,
        peak=_peak(compute, network.dtype),
    )


def _plain(config: Any) -> Mapping[str, object]:
    found: Mapping[str, object] = config.to_dict()
    return found


def _peak(compute: Compute, dtype: torch.dtype) -> float | None:
    if compute.device != "cuda":
        return None
    device = device_called(torch.cuda.get_device_name())
    if device is None:
        return None
    narrow = compute.precision == "bf16" or dtype == torch.bfloat16
    return (device.tflops if narrow else device.tflops_fp32) * 1e12 * compute.world
