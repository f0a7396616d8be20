"""Training on plain text."""

from dataclasses import dataclass
from typing import ClassVar

from ..training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrain(Training):
    """Train on plain text: every token may be masked. Output: `model`."""

    word: ClassVar[str] = "pretrain"
