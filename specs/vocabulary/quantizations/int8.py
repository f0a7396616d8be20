"""8-bit integers."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dllm_run.specs.field import leaf

from . import Quantization


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8(Quantization):
    """8-bit integers, a scale for every output; features with outliers are multiplied apart (LLM.int8, arXiv 2208.07339)."""

    word: ClassVar[str] = "int8"
    stored: ClassVar[Literal["nf4", "int8"] | None] = "int8"

    threshold: float = leaf("Magnitude from which on a feature counts as an outlier.", default=6.0, above=0)
