"""4-bit NormalFloat."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dllm_run.specs.field import leaf

from . import Quantization


@dataclass(frozen=True, slots=True, kw_only=True)
class Nf4(Quantization):
    """4-bit NormalFloat, a scale for every 64 weights (QLoRA, arXiv 2305.14314, section 3)."""

    word: ClassVar[str] = "nf4"
    stored: ClassVar[Literal["nf4", "int8"] | None] = "nf4"

    double: bool = leaf("Quantise the scales too: 0.4 bits less a weight.", default=True)
