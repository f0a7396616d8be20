"""kappa(t) = (a + 1) t^3 - (a + b + 1) t^2 + (b + 1) t."""

from torch import Tensor

from dllm_run.specs.vocabulary.kappas.cubic import CubicKappa

from . import Kappa


class Cubic:
    """kappa' = 3 (a + 1) t^2 - 2 (a + b + 1) t + (b + 1)."""

    def __init__(self, a: float, b: float) -> None:
        self.cube, self.square, self.line = a + 1, -(a + b + 1), b + 1

    def kappa(self, t: Tensor) -> Tensor:
        return ((self.cube * t + self.square) * t + self.line) * t

    def derivative(self, t: Tensor) -> Tensor:
        return (3 * self.cube * t + 2 * self.square) * t + self.line


def build(word: CubicKappa) -> Kappa:
    """The schedule of the word."""
    return Cubic(word.a, word.b)
