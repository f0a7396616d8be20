"""kappa(t) = 1 - cos(pi/2 t)."""

import math

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.kappas.cosine import CosineKappa

from . import Kappa


class Cosine:
    """kappa = 1 - cos(pi/2 t), kappa' = pi/2 sin(pi/2 t)."""

    def kappa(self, t: Tensor) -> Tensor:
        return 1 - torch.cos(math.pi / 2 * t)

    def derivative(self, t: Tensor) -> Tensor:
        return math.pi / 2 * torch.sin(math.pi / 2 * t)


def build(word: CosineKappa) -> Kappa:
    """The schedule of the word."""
    return Cosine()
