"""Objectives as pure functions of (denoiser, rows, draws). Every module has `build(word) -> Objective`."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ..denoiser import Denoiser
from ..noise import Stream
from ..rows import Rows


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of one batch: they can be given, so that a loss compares with any reference number by number."""

    time_B: Tensor
    """float32 in (0, 1]."""
    mask_BL: Tensor
    """float32 in (0, 1): a maskable position is masked where this is below the mask rate."""


class Loss(NamedTuple):
    """What the trainer sums over all micro batches and processes before it divides."""

    numerator: Tensor
    """Scalar with gradient."""
    denominator: Tensor
    """Scalar without gradient; depends on the rows alone."""


class Objective(Protocol):
    """A training objective; what it draws is its own business, as long as `loss` takes it."""

    def draw(self, stream: Stream, rows: Rows) -> Any:
        """The random numbers of a batch, each a function of sample, visit and position alone."""

    def denominator(self, rows: Rows) -> Tensor:
        """This batch's share of what the summed loss is divided by; float64 scalar."""

    def loss(self, denoiser: Denoiser, rows: Rows, draws: Any) -> Loss:
        """Loss of a batch."""

    def bound(self, denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        """What evaluation averages: for every row an unbiased estimate of an upper bound on -log p, in nats; float64 [B]."""
