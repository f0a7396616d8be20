"""Proposing a token for each open position: the most probable one, or one drawn by inverting the CDF. R positions, V vocabulary."""

import torch
from torch import Tensor

_CHUNK = 256


def propose(logits_RV: Tensor, uniform_R: Tensor | None, temperature: float) -> tuple[Tensor, Tensor]:
    """Tokens [R] and their log-probabilities [R] under the untempered model. `uniform_R` is read only above temperature 0."""
    top = logits_RV.max(-1)
    token_R = top.indices if temperature == 0 else draw(logits_RV / temperature, _given(uniform_R))
    chosen_R = top.values if temperature == 0 else logits_RV.gather(-1, token_R[:, None])[:, 0]
    return token_R, chosen_R - logits_RV.logsumexp(-1)


def draw(logits_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """One token [R] per row from softmax(logits), by one uniform per row.

    The CDF is inverted in two levels, sums of 256 tokens and then the tokens of one sum, in float64: no cumulative sum over
    the whole vocabulary, and no random number per token.
    """
    rows, vocabulary = logits_RV.shape
    weight_RV = (logits_RV - logits_RV.max(-1, keepdim=True).values).exp_()
    chunks = -(-vocabulary // _CHUNK)
    padded = torch.nn.functional.pad(weight_RV, (0, chunks * _CHUNK - vocabulary)).view(rows, chunks, _CHUNK)
    sums_RC = padded.sum(-1, dtype=torch.float64).cumsum(-1)
    target_R1 = uniform_R.to(torch.float64)[:, None] * sums_RC[:, -1:]
    chunk_R1 = torch.searchsorted(sums_RC, target_R1, right=True).clamp_(max=chunks - 1)
    before_R1 = torch.where(chunk_R1 > 0, sums_RC.gather(-1, (chunk_R1 - 1).clamp(min=0)), 0.0)
    inside_RK = padded.gather(1, chunk_R1[:, :, None].expand(-1, -1, _CHUNK))[:, 0].to(torch.float64)
    # The last token with weight ends the chunk: rounding must never choose one of probability 0.
    last_R1 = (inside_RK > 0).long().mul(torch.arange(1, _CHUNK + 1, device=logits_RV.device)).argmax(-1, keepdim=True)
    place_R1 = torch.searchsorted(inside_RK.cumsum(-1), target_R1 - before_R1, right=True)
    return (chunk_R1 * _CHUNK + torch.minimum(place_R1, last_R1))[:, 0]


def _given(uniform_R: Tensor | None) -> Tensor:
    assert uniform_R is not None, "a draw needs random numbers"
    return uniform_R
