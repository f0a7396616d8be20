"""Peak memory of a device in bytes: what is stored for good, and what the worst moment of a step adds."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from dllm_run.specs.arithmetic import rows_of_chunk
from dllm_run.specs.geometry import Geometry

from . import InferenceSetting, Memory, Precision, Quantization, Setting, StrategyName
from .activations import BYTES, layer_bytes, working_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strategy:
    """What is divided among processes (arXiv 1910.02054, figure 1), and what communication holds."""

    weights: bool = False
    gradients: bool = False
    optimizer: bool = False
    bucket: float = 0.0
    """Elements of gradients that are copied for communication; infinite: all of them."""
    live: float = 0.0
    """Elements of gathered weights that may live at once; infinite: as FSDP2, two layers and what is outside layers."""
    own_step: bool = False
    """Whether the optimizer is DeepSpeed's, which turns bf16 gradients into fp32 ones; torch's keeps roots of the moments."""


# DistributedDataParallel has a copy of all gradients in buckets (its gradient_as_bucket_view is off by default). DeepSpeed's
# defaults: reduce_bucket_size 5e8, stage3_max_live_parameters 1e9.
_STRATEGIES: dict[StrategyName, _Strategy] = {
    "none": _Strategy(),
    "ddp": _Strategy(bucket=math.inf),
    "zero1": _Strategy(optimizer=True, bucket=5e8, own_step=True),
    "zero2": _Strategy(optimizer=True, gradients=True, bucket=5e8, own_step=True),
    "zero3": _Strategy(optimizer=True, gradients=True, weights=True, bucket=5e8, live=1e9, own_step=True),
    "fsdp2": _Strategy(optimizer=True, gradients=True, weights=True, live=math.inf),
}

_LOGITS = 3 * 4  # bytes of a scored position and token: log-softmax, its gradient and theirs together, all fp32 (as measured)
_CHUNK = 2 * 4  # of a position in a chunk of the loss and a token: logits, which become their gradient in place, and exponentials
_CONTEXT = {"cuda": 800_000_000, "cpu": 500_000_000}  # CUDA context, cuBLAS workspaces and kernels; Python with torch
_NCCL = 800_000_000  # communicators and their channels, where there is more than one process
# What is lost to it, and what at the most. On a GPU of what is allocated and freed in every step; on a CPU, where glibc keeps much of
# what was freed, of all that training adds to the weights (measured: 22 to 64 %).
_FRAGMENTATION = {"cuda": (0.05, 0.10), "cpu": (0.30, 0.65)}
_DEVIATION = math.sqrt(1 / 12)  # of a uniform time


@lru_cache(maxsize=4096)
def training_memory(geometry: Geometry, setting: Setting) -> Memory:
    """Peak memory of a training step on one device, AdamW with bf16 or fp32 weights, full or LoRA on every linear layer."""
    if setting.quantization is not None and setting.lora_rank is None:
        raise ValueError("quantised weights have no gradients: they are trained through LoRA alone")
    share = _share(setting)
    worst = min(setting.most, max(share, setting.scored + 3 * _DEVIATION / math.sqrt(setting.micro)))
    mean, most = _FRAGMENTATION[setting.device]
    low = _training(geometry, setting, share, 0.0)
    high = _training(geometry, setting, worst, most)
    return replace(_training(geometry, setting, share, mean), low=low.total, high=high.total)


def training_total(geometry: Geometry, setting: Setting) -> int:
    """The total of `training_memory` alone, for those who ask many settings."""
    return _training(geometry, setting, _share(setting), _FRAGMENTATION[setting.device][0]).total


def _share(setting: Setting) -> float:
    """Share of positions that reach the head, in the micro batch with most of them that is met in every step."""
    if not setting.stratified:
        return setting.scored
    return min(setting.most, setting.scored * (2 - 1 / (setting.accumulation * setting.world)))


def _training(geometry: Geometry, setting: Setting, share: float, fragmentation: float) -> Memory:
    """The worst moment of a step: the loss, a layer walked back, its end with all gradients, the optimizer."""
    stored, number = _stored(geometry, setting), BYTES[setting.precision]
    divided = setting.world if _STRATEGIES[setting.strategy].gradients else 1
    trained, weight = _trained(geometry, setting), _trained_weight(setting)
    gradients = trained * weight // divided
    matrix = _heads(geometry) * _table(geometry) if setting.lora_rank is None else 0
    head = matrix * weight // divided
    kept = gradients if setting.accumulation > 1 else 0  # Trainer drops gradients after a step, so at first there are none
    early = max(kept, head)
    scored = math.ceil(setting.micro * setting.copies * setting.length * share)
    layers, again, layer = _activations(geometry, setting, scored)
    copies = _copies(geometry, setting)
    table = _table(geometry) * number.compute if number.compute < number.weight else 0  # cast for the loss alone
    graph = Memory(moment="", gradients=early, activations=layers, autocast_copies=copies)
    row = geometry.vocabulary * min(scored, rows_of_chunk(geometry.vocabulary))
    # The loss forms gradients with the logits of a chunk, and casts them to the number of the weights as it hands them back.
    formed, cast = matrix * number.compute // divided, head if number.compute < weight else 0
    moments = [
        replace(graph, moment="logits", gradients=kept + formed, logits=_CHUNK * row, autocast_copies=copies + table),
        replace(graph, moment="head", gradients=kept + formed + cast),
        replace(graph, moment="backward", activations=layers + again),
        # The gradient of a tied matrix comes twice: from the head, and at the end from the embedding.
        Memory(moment="gradients", gradients=gradients + head * geometry.tied, activations=layer),
        Memory(moment="step", gradients=gradients, step_buffers=_step(geometry, setting, trained)),
    ]
    worst = max(moments, key=lambda moment: moment.total)
    found = replace(
        stored, moment=worst.moment, gradients=worst.gradients, activations=worst.activations, logits=worst.logits,
        step_buffers=worst.step_buffers, autocast_copies=worst.autocast_copies,
    )  # fmt: skip
    kept_free = worst.total + found.gathered + (found.optimizer if setting.device == "cpu" else 0)
    return replace(found, fragmentation=int(fragmentation * kept_free))


def _activations(geometry: Geometry, setting: Setting, scored: int) -> tuple[int, int, int]:
    """Bytes kept of all layers, those that walking back one of them adds, and those left at the last."""
    number, tokens = BYTES[setting.precision], setting.micro * setting.copies * setting.length
    kernel, length = setting.attention, setting.length
    # Quantised layers give results in the number of what they are given, and norms give fp32 under autocast.
    kept: Precision = "fp32" if setting.precision == "bf16" and setting.quantization is not None else setting.precision
    layer = tokens * layer_bytes(geometry, precision=kept, attention=kernel, length=length, lora_rank=setting.lora_rank)
    working = tokens * working_bytes(geometry, precision=kept, attention=kernel, length=length)
    if setting.quantization is not None:
        working += _unpacked(geometry, setting.precision)
    stream = number.stream * geometry.width
    ends = 3 * stream * (tokens + scored)  # the last norm; the chosen rows and what the head makes of them
    if setting.gradient_checkpointing:
        return int(geometry.layers * stream * tokens + ends), int(layer + working), int(layer + working)
    return int(geometry.layers * layer + ends), int(working), int(layer + working)


def _stored(geometry: Geometry, setting: Setting) -> Memory:
    """What lives through a step. AdamW has two moments, in fp32 where there is an fp32 weight (arXiv 1711.05101)."""
    strategy = _STRATEGIES[setting.strategy]
    trained, weight = _trained(geometry, setting), _trained_weight(setting)
    adapters = 0 if setting.lora_rank is None else trained
    parts = setting.world if strategy.optimizer else 1
    slices = setting.world if strategy.weights else 1
    master = setting.master_weights and weight < 4
    moments = 2 * (4 if master else weight)
    return Memory(
        moment="",
        weights=_weights(geometry, setting.precision, setting.quantization) // slices,
        gathered=_gathered(geometry, setting),
        lora=adapters * weight // slices,
        communication=int(min(trained, strategy.bucket)) * weight,
        optimizer=trained * moments // parts + trained * 4 * setting.averaged,
        master_weights=trained * 4 // parts if master else 0,
        context=_CONTEXT[setting.device] + (_NCCL if setting.world > 1 and setting.device == "cuda" else 0),
    )


def _trained(geometry: Geometry, setting: Setting) -> int:
    """Parameters that are trained."""
    if setting.lora_rank is None:
        return geometry.parameters()
    return geometry.lora_parameters(setting.lora_rank) + setting.saved_tables * _table(geometry)


def _trained_weight(setting: Setting) -> int:
    """Bytes of one of them: beside weights in bf16 an adapter is in fp32, unless there are master weights."""
    return 4 if setting.lora_rank is not None and not setting.master_weights else BYTES[setting.precision].weight


def _weights(geometry: Geometry, precision: Precision, quantization: Quantization | None) -> int:
    """Weights as stored; output matrix and embeddings are never quantised.

    nf4: 4 bits, an 8-bit scale for 64 of them, an fp32 one for 256 scales (arXiv 2305.14314, section 3).
    int8: 8 bits and an fp32 scale for each output (arXiv 2208.07339).
    """
    linear, number = geometry.linear_parameters(), BYTES[precision]
    rest = (geometry.parameters() - linear) * number.weight
    outputs = sum(count * outputs for count, _, outputs in geometry.matrices())
    sizes = {None: linear * number.weight, "nf4": linear * (4 / 8 + 1 / 64 + 4 / (64 * 256)), "int8": linear + 4 * outputs}
    return rest + int(sizes[quantization])


def _copies(geometry: Geometry, setting: Setting | InferenceSetting) -> int:
    """Autocast casts a weight once per forward pass and keeps it for the backward pass: 2 bytes for each fp32 matrix of the body.

    A frozen one lives as long as a backward pass needs it: with checkpointing, or without a backward pass, no longer than its layer.
    """
    sharded = isinstance(setting, Setting) and _STRATEGIES[setting.strategy].weights  # gathered in bf16 instead
    if setting.precision != "bf16" or sharded:
        return 0
    if setting.quantization is not None:
        return 0
    linear = geometry.linear_parameters()
    brief = setting.lora_rank is not None and (isinstance(setting, InferenceSetting) or setting.gradient_checkpointing)
    return 2 * (linear // geometry.layers if brief else linear)


def _unpacked(geometry: Geometry, precision: Precision) -> int:
    """The largest matrix out of its few bits: in the number of the weights, and as autocast casts that."""
    number = BYTES[precision]
    cast = number.compute if number.compute < number.weight else 0
    return (number.weight + cast) * max(inputs * outputs for _, inputs, outputs in geometry.matrices())


def _gathered(geometry: Geometry, setting: Setting) -> int:
    """Whole weights of a sharded model. FSDP2: a layer, the next one and what is outside layers, with their gradients."""
    live, compute = _STRATEGIES[setting.strategy].live, BYTES[setting.precision].compute
    if math.isfinite(live):
        return int(min(live, geometry.parameters())) * compute
    layer = geometry.linear_parameters() // geometry.layers
    outside = geometry.parameters() - geometry.linear_parameters()
    return (2 * layer + outside) * compute * (2 if setting.lora_rank is None else 1)


def _step(geometry: Geometry, setting: Setting, trained: int) -> int:
    """Buffers of the optimizer's step. On a CPU torch goes parameter by parameter: a root and a quotient of the largest one."""
    strategy, number = _STRATEGIES[setting.strategy], BYTES[setting.precision]
    own = trained // (setting.world if strategy.optimizer else 1)
    if strategy.own_step:
        return own * 4 if number.weight < 4 else 0
    if setting.device == "cuda":
        return own * _trained_weight(setting)
    return 2 * _trained_weight(setting) * (_table(geometry) if setting.lora_rank is None or setting.saved_tables else 0)


def _heads(geometry: Geometry) -> int:
    """Output matrices that a loss goes through."""
    return 2 if geometry.edit_heads else 1


def _table(geometry: Geometry) -> int:
    """Weights of the output matrix, or of the embedding."""
    return geometry.vocabulary * (geometry.embedding or geometry.width)


@lru_cache(maxsize=4096)
def inference_memory(geometry: Geometry, setting: InferenceSetting) -> Memory:
    """Peak memory of sampling or scoring on one device: weights, the widest moment of a layer, logits of the scored positions."""
    mean, most = _FRAGMENTATION[setting.device]
    low, high = (_inference(geometry, setting, share) for share in (0.0, most))
    return replace(_inference(geometry, setting, mean), low=low.total, high=high.total)


def _inference(geometry: Geometry, setting: InferenceSetting, fragmentation: float) -> Memory:
    number, tokens = BYTES[setting.precision], setting.rows * setting.length
    # The stream, a norm of it in fp32, and either query, key, value and result or three tensors of the mlp; eager has its scores.
    widest = max(2 * geometry.attention_width + 2 * geometry.kv_width, 3 * geometry.mlp_width) * number.compute
    scores = geometry.heads * setting.length * (4 + number.compute) if setting.attention == "eager" else 0
    token = (number.stream + 2 * 4) * geometry.width + widest + scores
    copies = _copies(geometry, setting) + (2 * _table(geometry) if setting.precision == "bf16" else 0)
    unpacked = 0 if setting.quantization is None else _unpacked(geometry, setting.precision)
    found = Memory(
        moment="forward",
        weights=_weights(geometry, setting.precision, setting.quantization),
        lora=0 if setting.lora_rank is None else 4 * geometry.lora_parameters(setting.lora_rank),
        autocast_copies=copies,
        activations=int(tokens * token) + unpacked,
        logits=_LOGITS * setting.scored * geometry.vocabulary,  # logits, those without the mask token, their exponentials
        kv_cache=2 * geometry.layers * geometry.kv_width * tokens * number.compute * setting.kv_cache,
        context=_CONTEXT[setting.device],
    )
    return replace(found, fragmentation=int(fragmentation * (found.activations + found.logits + found.autocast_copies)))
