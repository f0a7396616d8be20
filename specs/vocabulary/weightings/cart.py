"""The weighting that counts a masked token the more, the more of its neighbours are clean."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Weighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart(Weighting):
    """w_i = sum over clean j of p (1 - p)^(|i - j| - 1) / 2, at most 1: context-adaptive rescheduling (Dream, arXiv 2508.15487)."""

    word: ClassVar[str] = "cart"
    reads_both_sides: ClassVar[bool] = True

    p: float = leaf(
        "Chance of the geometric distribution over distances; the larger, the more the nearest count.", default=0.3, above=0, maximum=1
    )
