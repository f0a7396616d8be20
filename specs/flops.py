"""Floating-point operations of a forward pass and of training, from the geometry alone; a multiply-add counts two.

What is counted is what the mathematics asks for: the estimate before a run and the utilisation that a run reports are of one convention.
"""

from .geometry import Geometry


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
    adapters: int | None = None,
) -> float:
    """FLOPs of training on `tokens` in rows of `length`, whose `scored_share` reaches the head: 6 per trained weight and token.

    The backward pass is twice the forward one (gradients of inputs and of weights). Checkpointing runs the body again, but stops
    before the last product of a layer where nothing needs its result, as torch's checkpoint without reentry does.
    `adapters` is the number of weights that are trained beside frozen ones, None where all are trained: frozen weights need no
    gradient, 1 forward and 1 backward, and adapters 3 times their own. Embeddings are looked up, norms and biases are not counted.
    """
    body = forward_flops(geometry, tokens=tokens, length=length, scored=0)
    head = forward_flops(geometry, tokens=0, length=0, scored=tokens * scored_share)
    stop = 0.0 if geometry.post_norm else 2 * tokens * geometry.layers * geometry.mlp_width * geometry.width
    again = body - stop if gradient_checkpointing else 0.0
    if adapters is None:
        return 3 * (body + head) + again
    # Attention has no weights: both of its gradients are those of activations.
    attention = tokens * 4 * geometry.layers * geometry.attention_width * length
    return 2 * (body + head) + attention + 3 * 2 * tokens * adapters + again
