"""Ancestral sampling: the reverse process of masked diffusion, step by step."""

from dataclasses import dataclass
from typing import ClassVar

from ..proposing import guided
from ..revealing import Revealing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestral(Revealing):
    """Every masked position is revealed with probability (alpha_s - alpha_t) / (1 - alpha_t) (MDLM, arXiv 2406.07524, eq. 6)."""

    word: ClassVar[str] = "ancestral"

    def passes(self, tokens: int) -> int:
        # A token is revealed once, and a step that reveals none costs nothing.
        return guided(self, min(tokens, self.steps or tokens))
