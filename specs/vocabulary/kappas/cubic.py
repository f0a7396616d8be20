"""The cubic kappa schedules."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Kappa


@dataclass(frozen=True, slots=True, kw_only=True)
class CubicKappa(Kappa):
    """kappa(t) = (a + 1) t^3 - (a + b + 1) t^2 + (b + 1) t: slower in the middle (arXiv 2506.09018)."""

    word: ClassVar[str] = "cubic"

    # With both between 0 and 2 kappa never falls: the discriminant of its derivative, 4 ((a + b + 1)^2 - 3 (a + 1) (b + 1)),
    # is convex in a and in b, so it is largest at the four corners, and there it is not above 0.
    a: float = leaf("Pace at the end: the derivative at 1 is a - b + 2.", default=1.0, minimum=0, maximum=2)
    b: float = leaf("Pace at the start: the derivative at 0 is b + 1.", default=1.0, minimum=0, maximum=2)

    def mean_remaining(self) -> float:
        return 1 - ((self.a + 1) / 4 - (self.a + self.b + 1) / 3 + (self.b + 1) / 2)
