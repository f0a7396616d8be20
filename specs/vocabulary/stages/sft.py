"""Training on prompts and responses."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Requirement, Row

from ..training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Sft(Training):
    """Fine-tune on prompts with responses: only responses are masked and learned. Output: `model`."""

    word: ClassVar[str] = "sft"
    table: ClassVar[tuple[Row, ...]] = (
        *Training.table,
        Requirement(
            subject="stage.data",
            trait="format",
            values=("pairs",),
            message="sft learns from pairs, and the data are read as {trait}",
        ),
    )
    data_format: ClassVar[str] = "pairs"
