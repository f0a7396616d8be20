"""A GGUF file."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Requirement, Row
from dllm_run.specs.field import leaf

from . import Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class Gguf(Conversion):
    """One GGUF file with weights and tokenizer, for programs that read that format."""

    word: ClassVar[str] = "gguf"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="architecture",
            values=("llama", "qwen2", "qwen3"),
            message="a model of architecture {trait} cannot be written as GGUF here",
            label="`hub` writes every architecture",
            cure=("own", "hub"),
            code="E538",
        ),
    )

    dtype: str = leaf(
        "Number format of the matrices: 32 or 16 bits, or 8 bits with a scale for every 32 numbers. Vectors keep 32 bits.",
        default="f16",
        choices=("f32", "f16", "q8_0"),
    )
