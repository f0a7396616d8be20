"""Ranking what was proposed, and how many of the best each row commits. B rows, R scored positions, N places of a row.

Every rule is a number of leading places: an even quota, or as many as are sure enough. A row with anything open commits one at least.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .board import Board
from .proposal import Proposed
from .schedules import Schedule

Confidence = Callable[[Proposed, Tensor | None], Tensor]
"""(what is proposed, uniforms [R] where the order is random) -> confidence [R]; higher commits sooner."""
FAR = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The scored positions of each row, the most confident first."""

    confidence_BN: Tensor
    """Minus infinity behind the last."""
    entropy_BN: Tensor | None
    count_B: Tensor
    """Scored positions."""
    all_B: Tensor
    """Positions that the window had when it began."""
    share_B: Tensor
    """Steps of the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many leading places are committed."""

    number_B: Tensor
    near_B: Tensor
    """How far a confidence was from turning the number; infinite where none counts."""


Rule = Callable[[Ranking], Count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The policy that commits what ranks highest."""

    confidence: Confidence
    rule: Rule
    random: bool = False
    """Whether the order reads random numbers, and not the model."""
    entropy: bool = False
    """Whether the rule reads entropies."""
    revises = False

    def ahead(self, board: Board, active_BL: Tensor, stream: object) -> tuple[Tensor, Tensor | None]:
        """All that is active is scored, and nothing masked again."""
        return active_BL, None

    def commit(
        self, board: Board, row_R: Tensor, last_R: Tensor | None, proposed: Proposed, rank_R: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Which of the scored positions are committed [R], and how far from another choice each row was [B].

        `last_R`: positions whose turn comes after all others.
        """
        confidence_R = self.confidence(proposed, rank_R)
        # A scored position is always ahead of padding, or a token of probability 0 would stall its row.
        confidence_R = confidence_R.clamp(min=torch.finfo(confidence_R.dtype).min)
        if last_R is not None:
            confidence_R = confidence_R.masked_fill(last_R, torch.finfo(confidence_R.dtype).min)
        count_B = torch.bincount(row_R, minlength=len(board))
        place_R = torch.arange(len(row_R), device=row_R.device) - (count_B.cumsum(0) - count_B)[row_R]
        shape = len(board), int(count_B.max())
        confidence_BN = torch.full(shape, -FAR, dtype=confidence_R.dtype, device=row_R.device)
        confidence_BN[row_R, place_R] = confidence_R
        confidence_BN, order_BN = confidence_BN.sort(dim=-1, descending=True, stable=True)
        entropy_BN = None
        if self.entropy:
            entropy_BN = torch.zeros(shape, dtype=confidence_R.dtype, device=row_R.device)
            entropy_BN[row_R, place_R] = proposed.model.entropy_R().to(confidence_R.dtype)
            entropy_BN = entropy_BN.gather(-1, order_BN)
        all_B, share_B = _window(board)
        found = self.rule(Ranking(confidence_BN=confidence_BN, entropy_BN=entropy_BN, count_B=count_B, all_B=all_B, share_B=share_B))
        rank_BN = torch.empty_like(order_BN).scatter_(1, order_BN, torch.arange(shape[1], device=row_R.device).expand(shape))
        near_B = (
            torch.full_like(found.near_B, FAR) if self.random else torch.minimum(found.near_B, _gap(confidence_BN, found.number_B, count_B))
        )
        return rank_BN[row_R, place_R] < found.number_B[row_R], near_B


def _window(board: Board) -> tuple[Tensor, Tensor]:
    """Positions that each row's window had when it began, and its steps."""
    own_BL = board.start_BL & (board.block_BL == board.current_B()[:, None])
    return own_BL.sum(-1), torch.where(own_BL, board.share_BL, 0).amax(-1)


def _gap(confidence_BN: Tensor, number_B: Tensor, count_B: Tensor) -> Tensor:
    """How much more confident the last committed place is than the first that is not."""
    last_B = (number_B - 1).clamp(min=0)[:, None]
    next_B = number_B.clamp(max=confidence_BN.shape[1] - 1)[:, None]
    gap_B = (confidence_BN.gather(1, last_B) - confidence_BN.gather(1, next_B))[:, 0]
    return torch.where((number_B > 0) & (number_B < count_B), gap_B, FAR)


# --- confidences


def probability(proposed: Proposed, rank_R: Tensor | None) -> Tensor:
    """The model's own probability of the proposed token, as logarithm."""
    return proposed.logp_R


def own_probability(proposed: Proposed, rank_R: Tensor | None) -> Tensor:
    """The probability of the proposed token in the distribution that it is chosen from, as logarithm."""
    return proposed.own_logp_R


def margin(proposed: Proposed, rank_R: Tensor | None) -> Tensor:
    """What the most probable token has more than the next."""
    return proposed.model.margin_R()


def own_margin(proposed: Proposed, rank_R: Tensor | None) -> Tensor:
    """The same in the distribution that the token is chosen from."""
    return proposed.own.margin_R()


def entropy(proposed: Proposed, rank_R: Tensor | None) -> Tensor:
    """Minus the entropy."""
    return -proposed.model.entropy_R()


def own_entropy(proposed: Proposed, rank_R: Tensor | None) -> Tensor:
    """Minus the entropy of the distribution that the token is chosen from."""
    return -proposed.own.entropy_R()


def chance(proposed: Proposed, rank_R: Tensor | None) -> Tensor:
    """A random order."""
    assert rank_R is not None, "a random order needs random numbers"
    return rank_R


OF_MODEL: dict[str, Confidence] = {"low_confidence": probability, "margin": margin, "entropy": entropy, "random": chance}
"""By the word for it: what stays masked is what ranks low."""
OF_CHOICE: dict[str, Confidence] = {"low_confidence": own_probability, "margin": own_margin, "entropy": own_entropy, "random": chance}
"""The same read off the tempered, filtered distribution, as Dream does."""


# --- rules


def even(ranking: Ranking) -> Count:
    """n positions over S steps are n // S each, the first n mod S steps one more (LLaDA's get_num_transfer_tokens)."""
    steps_B = torch.minimum(ranking.share_B, ranking.all_B).clamp(min=1)
    base_B, extra_B = ranking.all_B // steps_B, ranking.all_B % steps_B
    done_B = ranking.all_B - ranking.count_B
    # Step s began with s * (base + 1) committed while s < extra; the count of those done tells which side we are on.
    number_B = torch.where(done_B < extra_B * (base_B + 1), base_B + 1, base_B)
    return Count(number_B=number_B.minimum(ranking.count_B), near_B=_never(ranking))


class Scheduled:
    """Quotas that follow a noise schedule: at each step the share of what is left that the schedule reveals, rounded, never none."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._next: dict[tuple[int, int], list[int]] = {}

    def __call__(self, ranking: Ranking) -> Count:
        steps_B = torch.minimum(ranking.share_B, ranking.all_B).clamp(min=1)
        pairs, index_B = torch.unique(torch.stack([ranking.all_B, steps_B], -1), dim=0, return_inverse=True)
        width = int(ranking.all_B.max()) + 1
        rows = [_padded(self._of(int(count), int(steps)), width) for count, steps in pairs.tolist()]
        next_PN = torch.tensor(rows, dtype=torch.int64, device=index_B.device)
        done_B = ranking.all_B - ranking.count_B
        return Count(number_B=next_PN[index_B, done_B].minimum(ranking.count_B), near_B=_never(ranking))

    def _of(self, count: int, steps: int) -> list[int]:
        """By the number of positions done: how many come next."""
        if (count, steps) not in self._next:
            following, done = [0] * (count + 1), 0
            for number in counts(count, steps, self.schedule):
                following[done] = number
                done += number
            self._next[count, steps] = following
        return self._next[count, steps]


def counts(count: int, steps: int, schedule: Schedule) -> list[int]:
    """Positions that each step commits: of r that are left, round(r (alpha(s) - alpha(t)) / (1 - alpha(t))); steps without any are none."""
    alpha = schedule.alpha(torch.linspace(1, 0, steps + 1, dtype=torch.float64)).tolist()
    found, left = [], count
    for before, after in itertools.pairwise(alpha[:-1]):
        number = min(left, round(left * (after - before) / (1 - before)))
        left -= number
        found.append(number)
    return [number for number in [*found, left] if number]


def threshold(bound: float) -> Rule:
    """All that the model gives a probability above `bound` (Fast-dLLM, arXiv 2505.22618, section 3.3)."""

    def rule(ranking: Ranking) -> Count:
        sure_BN = ranking.confidence_BN.exp()
        near_B = (sure_BN - bound).abs().amin(-1)
        return Count(number_B=_one_at_least((sure_BN > bound).sum(-1), ranking), near_B=near_B)

    return rule


def factor(bound: float) -> Rule:
    """The n most probable for the largest n with (n + 1) (1 - p_n) < `bound` (Fast-dLLM, theorem 1)."""

    def rule(ranking: Ranking) -> Count:
        place_N = torch.arange(1, ranking.confidence_BN.shape[1] + 1, device=ranking.count_B.device)
        doubt_BN = (place_N + 1) * (1 - ranking.confidence_BN.exp())
        within_BN = (doubt_BN < bound) & (place_N <= ranking.count_B[:, None])
        number_B = torch.where(within_BN, place_N, 0).amax(-1)
        return Count(number_B=_one_at_least(number_B, ranking), near_B=((doubt_BN - bound).abs() / (place_N + 1)).amin(-1))

    return rule


def entropy_bound(bound: float) -> Rule:
    """As many as have entropies that sum, less the largest of them, to `bound` nats at most (arXiv 2505.24857)."""

    def rule(ranking: Ranking) -> Count:
        assert ranking.entropy_BN is not None
        place_N = torch.arange(1, ranking.entropy_BN.shape[1] + 1, device=ranking.count_B.device)
        joint_BN = ranking.entropy_BN.cumsum(-1) - ranking.entropy_BN.cummax(-1).values
        within_BN = (joint_BN <= bound) & (place_N <= ranking.count_B[:, None])
        # The joint bound only grows: its leading places are all that are within it.
        # The first place is free: what it has is no sum.
        near_BN = (joint_BN - bound).abs().masked_fill(place_N == 1, FAR)
        return Count(number_B=_one_at_least(within_BN.sum(-1), ranking), near_B=near_BN.amin(-1))

    return rule


def _one_at_least(number_B: Tensor, ranking: Ranking) -> Tensor:
    return number_B.clamp(min=1).minimum(ranking.count_B)


def _never(ranking: Ranking) -> Tensor:
    return torch.full_like(ranking.count_B, FAR, dtype=torch.float32)


def _padded(row: list[int], width: int) -> list[int]:
    return row + [0] * (width - len(row))
