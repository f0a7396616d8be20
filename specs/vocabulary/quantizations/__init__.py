"""Quantisations: how the matrices of frozen weights are stored in fewer bits."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization(Word):
    """Base of the quantisations. Embeddings and output matrix stay as they are."""

    stored: ClassVar[Literal["nf4", "int8"] | None] = None
    """What estimates of memory count it as; None: as if nothing were quantised."""
