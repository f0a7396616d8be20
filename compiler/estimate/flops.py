"""Floating-point operations of sampling and scoring, and the time that operations take; a multiply-add counts two."""

from dllm_run.specs.devices import DEVICES
from dllm_run.specs.flops import forward_flops
from dllm_run.specs.geometry import Geometry


def sampling_flops(
    geometry: Geometry, *, prompts: float, passes: float, canvas: float, scored: float, computed: float | None = None
) -> float:
    """FLOPs of sampling: `passes` forward passes over a canvas for each prompt, `scored` positions reach the head in each.

    `computed`: positions that a pass computes, where a cache holds the rest. Guidance doubles `passes`.
    """
    tokens = canvas if computed is None else computed
    return prompts * passes * forward_flops(geometry, tokens=tokens, length=canvas, scored=scored)


def likelihood_flops(geometry: Geometry, *, rows: float, samples: float, length: float, scored_share: float = 0.5) -> float:
    """FLOPs of a Monte-Carlo bound: each row is scored under `samples` masks (LLaDA, arXiv 2502.09992, algorithm 3)."""
    return rows * samples * forward_flops(geometry, tokens=length, length=length, scored=length * scored_share)


def seconds(
    flops: float, device: str, *, devices: int = 1, fp32: bool = False, share_low: float = 0.25, share_high: float = 0.40
) -> tuple[float, float]:
    """Shortest and longest time on GPUs that reach between the two shares of their peak, of bf16 or of fp32.

    25 to 40 % is what published training runs of this kind report as model FLOPs utilisation; small models reach less.
    """
    peak = (DEVICES[device].tflops_fp32 if fp32 else DEVICES[device].tflops) * 1e12 * devices
    return flops / (peak * share_high), flops / (peak * share_low)


# FLOP/s of a core in fp32: from an old laptop's AVX2 at small widths to a server's AVX-512 at width 768, where training of a
# 110 M parameter model was measured at 140e9. Models of a few million parameters are bound by overhead and can be slower still.
_CPU_CORE = (10e9, 140e9)


def cpu_seconds(flops: float, *, cores: int) -> tuple[float, float]:
    """Shortest and longest time on `cores` of a CPU in fp32."""
    low, high = _CPU_CORE
    return flops / (high * cores), flops / (low * cores)
