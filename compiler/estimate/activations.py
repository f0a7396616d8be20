"""What a layer keeps for its backward pass, counted from the modules of transformers; bytes per token."""

from dataclasses import dataclass

from dllm_run.specs.geometry import Geometry

from . import Attention, Precision


@dataclass(frozen=True, slots=True)
class Bytes:
    """Of a number: stored weights, the residual stream, results of matrix products."""

    weight: int
    stream: int
    compute: int


# Under autocast embeddings and norms stay in fp32, and with them the residual stream.
BYTES: dict[Precision, Bytes] = {"fp32": Bytes(4, 4, 4), "bf16": Bytes(4, 4, 2), "pure_bf16": Bytes(2, 2, 2)}


def layer_bytes(geometry: Geometry, *, precision: Precision, attention: Attention, length: int, lora_rank: int | None = None) -> float:
    """What autograd saves of one layer without dropout (test_estimate_memory compares with what it does save)."""
    number = BYTES[precision]
    kept = _norms(geometry, number) + _attention(geometry, number, attention, length) + _mlp(geometry, number)
    adapters = 4 + 3 * max(1, geometry.active_experts + geometry.shared_experts)  # q, k, v, o and the three of each mlp
    return kept + (lora_rank or 0) * adapters * number.compute


def working_bytes(geometry: Geometry, *, precision: Precision, attention: Attention, length: int) -> float:
    """Gradients that exist at once as a layer is walked back: of three tensors of the mlp and of the stream, or of the scores."""
    number = BYTES[precision]
    mlp = 3 * number.compute * geometry.mlp_width + 2 * number.stream * geometry.width
    scores = geometry.heads * length * (2 * 4 + number.compute) if attention == "eager" else 0  # fp32 in softmax and its gradient
    return max(mlp, scores)


def _norms(geometry: Geometry, number: Bytes) -> float:
    """Two norms. LayerNorm keeps its input; RMSNorm in Python its input in fp32 and what it multiplies with its weight.

    Their outputs are kept by the linear layers behind: once, or under autocast once for each, as each casts for itself.
    """
    kept = 4 + number.stream if geometry.rms_norm else number.stream
    readers = (1 if geometry.fused_qkv else 3) + (2 if geometry.gated and not geometry.fused_gate else 1)
    outputs = number.compute * readers if number.stream > number.compute else 2 * number.stream
    return (2 * kept + outputs) * geometry.width


def _attention(geometry: Geometry, number: Bytes, attention: Attention, length: int) -> float:
    """Query, key, value and result, and sdpa's log-sum-exp; eager has the probabilities, in fp32 and as they are multiplied."""
    query, key = geometry.attention_width, geometry.kv_width
    repeated = query if attention == "eager" else key  # sdpa shares the heads of grouped queries where no row is padded
    width = 2 * query + 2 * repeated
    if geometry.fused_qkv and not geometry.learned_positions:
        width += query + key  # the value is a part of the fused result, which is kept whole beside its rotated parts
    norms = (4 + number.compute) * (query + key) if geometry.qk_norm else 0
    scores = geometry.heads * length * (4 + (number.compute if number.compute < 4 else 0)) if attention == "eager" else 4 * geometry.heads
    return number.compute * width + norms + scores


def _mlp(geometry: Geometry, number: Bytes) -> float:
    """Gated: gate, its activation, up and their product; else input and result of the activation. Experts get tokens by copies."""
    tensors = 4 if geometry.gated else 5 if geometry.elementwise_gelu else 2
    return number.compute * (tensors * geometry.mlp_width + 2 * geometry.active_experts * geometry.width)
