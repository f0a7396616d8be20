"""Floating-point operations of training, sampling and scoring, and the time they take; a multiply-add counts two."""

from dllm_run.specs.devices import DEVICES
from dllm_run.specs.geometry import Geometry

from .activations import mlp_width


def forward_flops(geometry: Geometry, *, tokens: float, length: float, scored: float, keys: float | None = None) -> float:
    """FLOPs of one forward pass: 2 per weight and token, attention, the head on `scored` positions.

    `length` is that of a row, which every token sees whole; `keys` replaces it where a cache holds more than is computed.
    Attention is q k' and p v, 2 FLOPs each per key and dimension of the query heads (arXiv 2204.02311, appendix B).
    """
    attention = 4 * geometry.layers * geometry.attention_width * (length if keys is None else keys)
    return tokens * (2 * geometry.body_products() + attention) + scored * 2 * geometry.head_products()


def training_flops(
    geometry: Geometry,
    *,
    tokens: float,
    length: float,
    scored_share: float = 0.5,
    gradient_checkpointing: bool = False,
    lora_rank: int | None = None,
) -> float:
    """FLOPs of training on `tokens` in rows of `length`, whose `scored_share` reaches the head.

    The backward pass is twice the forward one (gradients of inputs and of weights). Checkpointing runs the body again, but stops
    before the last product of a layer where nothing needs its result, as torch's checkpoint without reentry does.
    With LoRA frozen weights need no gradient: 1 forward, 1 backward, and 3 times the adapters.
    """
    body = forward_flops(geometry, tokens=tokens, length=length, scored=0)
    head = forward_flops(geometry, tokens=0, length=0, scored=tokens * scored_share)
    stop = 0.0 if geometry.post_norm else 2 * tokens * geometry.layers * mlp_width(geometry) * geometry.width
    again = body - stop if gradient_checkpointing else 0.0
    if lora_rank is None:
        return 3 * (body + head) + again
    adapters = 2 * tokens * geometry.lora_parameters(lora_rank)
    # Attention has no weights: both of its gradients are those of activations.
    attention = tokens * 4 * geometry.layers * geometry.attention_width * length
    return 2 * (body + head) + attention + 3 * adapters + again


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
