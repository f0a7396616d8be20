"""Cross-entropy of chosen positions without their logits: in chunks, the gradient formed on the way. R positions, D features, V vocabulary.

Nothing of size [R, V] exists, and nothing is computed twice: while the logits of a chunk are there, they become the gradient
of features and output matrix. (Recomputing them in the backward pass is slower than keeping them all.)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dllm_run.specs.arithmetic import rows_of_chunk

from .head import Projection


class CrossEntropy(NamedTuple):
    """Of R positions."""

    total: Tensor
    """Scalar with gradient: the weighted sum."""
    nll_R: Tensor
    """-log p of each target, in nats, without gradient."""


def projected(features_RD: Tensor, projection: Projection, target_R: Tensor, weight_R: Tensor, never: int) -> CrossEntropy:
    """Through an output matrix with nothing behind it; token `never` has no probability."""
    needed = torch.is_grad_enabled() and (features_RD.requires_grad or projection.weight_VD.requires_grad)
    total, nll_R = _Projected.apply(features_RD, *projection, target_R, weight_R, never, needed)  # type: ignore[no-untyped-call]
    return CrossEntropy(total, nll_R)


def within(linear: nn.Linear, features_RD: Tensor, target_R: Tensor, weight_R: Tensor, never: int) -> CrossEntropy:
    """The same in the place of the layer's own pass: whatever gathers weights for a pass and gradients after it does so for this one."""
    own = vars(linear).pop("forward", None)
    module: Any = linear

    def forward(features_RD: Tensor) -> tuple[Tensor, ...]:
        return tuple(projected(features_RD, Projection(linear.weight, linear.bias), target_R, weight_R, never))

    module.forward = forward
    try:
        return CrossEntropy(*module(features_RD))
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def through(logits_of: Callable[[Tensor], Tensor], hidden_RD: Tensor, target_R: Tensor, weight_R: Tensor, chunk: int) -> CrossEntropy:
    """Through a head of any kind, whose logits are computed again in the backward pass."""
    total, found = hidden_RD.new_zeros((), dtype=_wide(hidden_RD.dtype)), []
    for start in range(0, max(1, len(hidden_RD)), chunk):
        part = slice(start, start + chunk)

        def entropy(hidden_KD: Tensor, target_K: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(logits_of(hidden_KD), target_K, reduction="none")

        if torch.is_grad_enabled():
            nll_K: Tensor = checkpoint(entropy, hidden_RD[part], target_R[part], use_reentrant=False)
        else:
            nll_K = entropy(hidden_RD[part], target_R[part])
        total = total + (weight_R[part] * nll_K).sum()
        found.append(nll_K.detach())
    return CrossEntropy(total, torch.cat(found) if found else weight_R.new_zeros(0))


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Softmax is computed in float32 at least."""
    return torch.float64 if dtype == torch.float64 else torch.float32


class _Projected(torch.autograd.Function):
    """Weighted cross-entropy; backward only scales what forward has formed."""

    @staticmethod
    def forward(
        ctx: Any,
        features_RD: Tensor,
        matrix_VD: Tensor,
        bias_V: Tensor | None,
        target_R: Tensor,
        weight_R: Tensor,
        never: int,
        needed: bool,
    ) -> tuple[Tensor, Tensor]:
        kind = features_RD.device.type
        number = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features_RD.dtype
        wide, learns = _wide(features_RD.dtype), needed and matrix_VD.requires_grad
        with torch.autocast(kind, enabled=False):
            # Cast once, not once a chunk.
            narrow_RD, narrow_VD = features_RD.detach().to(number), matrix_VD.detach().to(number)
            grad_RD = torch.empty_like(narrow_RD) if needed else None
            grad_VD = torch.zeros_like(narrow_VD) if learns else None
            grad_V = torch.zeros_like(bias_V, dtype=wide) if learns and bias_V is not None else None
            nll_R = torch.empty(len(features_RD), dtype=wide, device=features_RD.device)
            chunk = rows_of_chunk(len(matrix_VD))
            for start in range(0, len(features_RD), chunk):
                part = slice(start, start + chunk)
                logits_KV = (narrow_RD[part] @ narrow_VD.T).to(wide)
                if bias_V is not None:
                    logits_KV += bias_V.detach()
                logits_KV[:, never] = float("-inf")
                target_K1 = target_R[part, None]
                lse_K1 = logits_KV.logsumexp(-1, keepdim=True)
                nll_R[part] = (lse_K1 - logits_KV.gather(-1, target_K1))[:, 0]
                if grad_RD is None:
                    continue
                # d(w nll) / d logits = w (softmax - onehot), in the place of the logits.
                slope_KV = logits_KV.sub_(lse_K1).exp_()
                slope_KV.scatter_add_(-1, target_K1, torch.full_like(lse_K1, -1.0))
                slope_KV *= weight_R[part, None].to(wide)
                narrow_KV = slope_KV.to(number)
                torch.mm(narrow_KV, narrow_VD, out=grad_RD[part])
                if grad_VD is not None:
                    grad_VD.addmm_(narrow_KV.T, narrow_RD[part])
                if grad_V is not None:
                    grad_V += slope_KV.sum(0)
        # Not by save_for_backward: gradients kept that way would be copied once more.
        ctx.grads = (grad_RD, grad_VD, grad_V)
        ctx.numbers = (features_RD.dtype, matrix_VD.dtype, None if bias_V is None else bias_V.dtype)
        ctx.mark_non_differentiable(nll_R)
        return (weight_R.to(wide) * nll_R).sum(), nll_R

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.grads is None:
            raise RuntimeError("this loss forms its gradient once: it cannot be walked back twice")
        grads, ctx.grads = ctx.grads, None
        scaled = [None if g is None else g.mul_(grad.to(g.dtype)).to(number) for g, number in zip(grads, ctx.numbers, strict=True)]
        return (*scaled, None, None, None, None)
