"""kappa(t) = t."""

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.kappas.linear import LinearKappa

from . import Kappa


class Linear:
    """kappa = t, kappa' = 1."""

    def kappa(self, t: Tensor) -> Tensor:
        return t

    def derivative(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)


def build(word: LinearKappa) -> Kappa:
    """The schedule of the word."""
    return Linear()
