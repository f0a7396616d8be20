"""alpha(t) = 1 - t^power."""

from torch import Tensor

from dllm_run.specs.vocabulary.schedules.polynomial import Polynomial

from . import Schedule


class PolynomialSchedule:
    """alpha = 1 - t^p, alpha' = -p t^(p - 1), t = (1 - alpha)^(1/p)."""

    def __init__(self, power: float) -> None:
        self.power = power

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t**self.power

    def derivative(self, t: Tensor) -> Tensor:
        return -self.power * t ** (self.power - 1)

    def time(self, alpha: Tensor) -> Tensor:
        return (1 - alpha) ** (1 / self.power)


def build(word: Polynomial) -> Schedule:
    """The schedule of the word."""
    return PolynomialSchedule(word.power)
