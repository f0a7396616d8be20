"""From times to masks and weights: what the objectives share that mask tokens. B rows, L positions, X is 1 or L.

With `complementary` a row is read under its mask S and under the complement S' of S among the maskable tokens. S' is a mask of
rate r' = 1 - r = alpha(t), that is of the time t' with alpha(t') = 1 - alpha(t). As t is uniform, t' is not: its density is
|dt/dt'| = alpha'(t') / alpha'(t). What S' is weighted with is therefore w(t') alpha'(t) / alpha'(t'), and its mean is that of S:
E_t[w(t') |dt'/dt| f(t')] = integral of w(t') f(t') dt'. For w = -alpha' / (1 - alpha) that is -alpha'(t) / alpha(t), 1 / (1 - t) for
the linear schedule. Times are kept where t and t' are both at least the smallest time. The loss is the mean of both: the numerator sums
them, and the denominator counts each row twice.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.masked import Masked

from .build import build as build_word
from .rows import Rows
from .schedules import Schedule
from .weightings import Weighting


class Noisy(NamedTuple):
    """One noisy copy of every row."""

    masked_BL: Tensor
    """bool."""
    weight_BL: Tensor
    """Of the masked positions, divided as `normalise` says within a row."""


class Noising:
    """Schedule, weights and normalisation of a word."""

    def __init__(self, word: Masked) -> None:
        self.schedule: Schedule = build_word(word.schedule)
        self.weighting: Weighting = build_word(word.weighting)
        self.normalise = word.normalise
        self.epsilon = word.time_epsilon
        self.stratified = word.time_sampling == "stratified"
        self.max_weight = word.max_weight
        self.copies = 2 if word.complementary else 1

    def denominator(self, rows: Rows) -> Tensor:
        """Maskable tokens, or rows, of all copies; float64 scalar."""
        counted = rows.maskable_BL if self.normalise == "token" else rows.maskable_BL[:, 0].new_ones(len(rows.sample_B))
        return self.copies * counted.sum(dtype=torch.float64)

    def times(self) -> tuple[float, float]:
        """The smallest and the largest time that is drawn."""
        if self.copies == 1:
            return self.epsilon, 1.0
        first = torch.tensor(self.epsilon, dtype=torch.float64)
        return self.epsilon, float(self._complement(first))

    def noisy(self, rows: Rows, time_BX: Tensor, uniform_BL: Tensor) -> list[Noisy]:
        """The rows under their mask, and under its complement where there is one."""
        # Where 1 - alpha is small, float32 would have no digits of it.
        wide_BX = time_BX.double()
        masked_BL = masked_positions(self.schedule, wide_BX, uniform_BL, rows)
        found = [Noisy(masked_BL, self._weights(wide_BX, masked_BL, rows).to(time_BX.dtype))]
        if self.copies == 2:
            other_BL, other_BX = rows.maskable_BL & ~masked_BL, self._complement(wide_BX)
            stretch_BX = self.schedule.derivative(wide_BX) / self.schedule.derivative(other_BX)
            found.append(Noisy(other_BL, self._weights(other_BX, other_BL, rows, stretch_BX).to(time_BX.dtype)))
        return found

    def _complement(self, time: Tensor) -> Tensor:
        return self.schedule.time(1 - self.schedule.alpha(time))

    def _weights(self, time_BX: Tensor, masked_BL: Tensor, rows: Rows, stretch_BX: Tensor | None = None) -> Tensor:
        weight_BX = self.weighting(self.schedule, time_BX, masked_BL, rows)
        if stretch_BX is not None:
            weight_BX = weight_BX * stretch_BX
        if self.max_weight is not None:
            weight_BX = weight_BX.clamp(max=self.max_weight)
        return self.shared(weight_BX, rows).expand(masked_BL.shape)

    def shared(self, weight_BX: Tensor, rows: Rows) -> Tensor:
        """Weights divided by the maskable tokens of their row where each row counts alike."""
        return weight_BX / rows.maskable_BL.sum(-1, keepdim=True).clamp(min=1) if self.normalise == "sequence" else weight_BX


def masked_positions(schedule: Schedule, time_BX: Tensor, uniform_BL: Tensor, rows: Rows) -> Tensor:
    """bool [B, L]: maskable positions whose uniform is below the mask rate 1 - alpha(t)."""
    return (uniform_BL < 1 - schedule.alpha(time_BX)) & rows.maskable_BL
