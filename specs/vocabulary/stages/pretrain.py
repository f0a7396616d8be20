"""Training on plain text."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Requirement, Row

from ..training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrain(Training):
    """Train on plain text: every token may be masked. Output: `model`."""

    word: ClassVar[str] = "pretrain"
    table: ClassVar[tuple[Row, ...]] = (
        *Training.table,
        Requirement(
            subject="stage.data",
            trait="format",
            values=("text",),
            message="pretrain learns from texts, and the data are read as {trait}",
        ),
    )
