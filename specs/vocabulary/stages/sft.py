"""Training on prompts and responses."""

from dataclasses import dataclass
from typing import ClassVar

from ..training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Sft(Training):
    """Fine-tune on prompts with responses: only responses are masked and learned. Output: `model`."""

    word: ClassVar[str] = "sft"
    data_format: ClassVar[str] = "pairs"
