"""Proposing a token for each scored position: the most probable one, or one drawn by inverting the CDF. R positions, V vocabulary.

X is V, or the few tokens that a filter leaves.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 256
_FIRST_WIDTH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """How a token is chosen."""

    temperature: float
    top_k: int | None = None
    top_p: float | None = None

    @property
    def filters(self) -> bool:
        """Whether some tokens are left out."""
        return self.top_k is not None or self.top_p is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Probabilities up to a factor."""

    weight_RX: Tensor
    """1 for the most probable token."""
    total_R: Tensor
    token_RX: Tensor | None = None
    """Whose weights they are, in ascending order; None: of the tokens 0 to V - 1."""

    def entropy_R(self) -> Tensor:
        """Entropy in nats."""
        return self.total_R.log() - torch.xlogy(self.weight_RX, self.weight_RX).sum(-1) / self.total_R

    def margin_R(self) -> Tensor:
        """Probability of the most probable token less that of the next one."""
        if self.weight_RX.shape[-1] == 1:
            return torch.ones_like(self.total_R)
        first = self.weight_RX.topk(2, -1).values
        return (first[:, 0] - first[:, 1]) / self.total_R


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A token for each scored position, with what the model says of it."""

    token_R: Tensor
    logp_R: Tensor
    """Log-probability under the model: not tempered, nothing left out."""
    own_logp_R: Tensor
    """The same under the distribution that the token is chosen from, at the temperature and with the filters."""
    model: Distribution
    own: Distribution
    edge_R: Tensor | None
    """How far a draw was from another token, as probability; None where nothing was drawn."""


def propose(logits_RV: Tensor, uniform_R: Tensor | None, how: Proposal) -> Proposed:
    """Choose tokens. `uniform_R` is read only above temperature 0; the logits are written over."""
    top = logits_RV.max(-1)
    below_RV = logits_RV.sub_(top.values[:, None])
    apart = how.filters or how.temperature not in (0, 1)
    weight_RV = below_RV.exp() if apart else below_RV.exp_()
    model = own = Distribution(weight_RX=weight_RV, total_R=weight_RV.sum(-1))
    if apart:
        own = _own(below_RV, weight_RV, model.total_R, how)
    edge_R = None
    if how.temperature == 0:
        token_R, place_R = top.indices, top.indices
    else:
        assert uniform_R is not None, "a draw needs random numbers"
        place_R, edge_R = draw(own.weight_RX, uniform_R)
        token_R = place_R if own.token_RX is None else own.token_RX.gather(-1, place_R[:, None])[:, 0]
    return Proposed(
        token_R=token_R,
        logp_R=(weight_RV.gather(-1, token_R[:, None])[:, 0] / model.total_R).log(),
        # The most probable token stays whatever is left out, and its weight is 1.
        own_logp_R=-own.total_R.log() if how.temperature == 0 else (own.weight_RX.gather(-1, place_R[:, None])[:, 0] / own.total_R).log(),
        model=model,
        own=own,
        edge_R=edge_R,
    )


def _own(below_RV: Tensor, weight_RV: Tensor, total_R: Tensor, how: Proposal) -> Distribution:
    if how.temperature not in (0, 1):
        weight_RV = below_RV.div_(how.temperature).exp_()
        total_R = weight_RV.sum(-1)
    return filtered(weight_RV, total_R, how) if how.filters else Distribution(weight_RX=weight_RV, total_R=total_R)


def filtered(weight_RV: Tensor, total_R: Tensor, how: Proposal) -> Distribution:
    """The most probable tokens alone: `top_k` of them, and as few as have the share `top_p` of all probability."""
    size = weight_RV.shape[-1]
    width = min(size, how.top_k or _FIRST_WIDTH)
    needed_R1 = total_R.double()[:, None] * (1.0 if how.top_p is None else how.top_p)
    while True:
        value_RX, token_RX = weight_RV.topk(width, -1)
        until_RX = value_RX.cumsum(-1, dtype=torch.float64)
        # Nobody sorts a whole vocabulary to find the few tokens that make up most of it.
        if how.top_k is not None or width == size or bool((until_RX[:, -1:] >= needed_R1).all()):
            break
        width = min(size, width * 8)
    kept_RX = (until_RX - value_RX < needed_R1) | (torch.arange(width, device=value_RX.device) == 0)
    value_RX = torch.where(kept_RX, value_RX, 0.0)
    order_RX = token_RX.argsort(-1)
    value_RX = value_RX.gather(-1, order_RX)
    return Distribution(weight_RX=value_RX, total_R=value_RX.sum(-1), token_RX=token_RX.gather(-1, order_RX))


def draw(weight_RX: Tensor, uniform_R: Tensor) -> tuple[Tensor, Tensor]:
    """One place [R] per row in proportion to its weights, by one uniform per row; and how far it was from its neighbour's share [R].

    The CDF is inverted in two levels, sums of 256 tokens and then the tokens of one sum, in float64: no cumulative sum over
    the whole vocabulary, and no random number per token.
    """
    rows, vocabulary = weight_RX.shape
    chunks = -(-vocabulary // _CHUNK)
    spare = chunks * _CHUNK - vocabulary
    padded = (torch.nn.functional.pad(weight_RX, (0, spare)) if spare else weight_RX).view(rows, chunks, _CHUNK)
    sums_RC = padded.sum(-1, dtype=torch.float64).cumsum(-1)
    target_R1 = uniform_R.to(torch.float64)[:, None] * sums_RC[:, -1:]
    chunk_R1 = torch.searchsorted(sums_RC, target_R1, right=True).clamp_(max=chunks - 1)
    before_R1 = torch.where(chunk_R1 > 0, sums_RC.gather(-1, (chunk_R1 - 1).clamp(min=0)), 0.0)
    inside_RK = padded.gather(1, chunk_R1[:, :, None].expand(-1, -1, _CHUNK))[:, 0].to(torch.float64)
    # The last token with weight ends the chunk: rounding must never choose one of probability 0.
    last_R1 = (inside_RK > 0).long().mul(torch.arange(1, _CHUNK + 1, device=weight_RX.device)).argmax(-1, keepdim=True)
    until_RK = inside_RK.cumsum(-1)
    place_R1 = torch.minimum(torch.searchsorted(until_RK, target_R1 - before_R1, right=True), last_R1)
    above_R1 = before_R1 + until_RK.gather(-1, place_R1) - target_R1
    below_R1 = target_R1 - before_R1 - (until_RK - inside_RK).gather(-1, place_R1)
    edge_R = (torch.minimum(above_R1, below_R1) / sums_RC[:, -1:])[:, 0]
    return (chunk_R1 * _CHUNK + place_R1)[:, 0], edge_R
