"""Dream (arXiv 2508.15487): Qwen2.5's layers without their causal mask; a logit still speaks of the next token."""

from dataclasses import dataclass
from typing import ClassVar

from .qwen2 import Qwen2


@dataclass(frozen=True, slots=True, kw_only=True)
class Dream(Qwen2):
    """The Dream architecture; what it saves, the published code of Dream loads."""

    word: ClassVar[str] = "dream"
    model_types: ClassVar[tuple[str, ...]] = ("Dream",)
    architecture: ClassVar[str] = "qwen2"
    implementation: ClassVar[str] = ""
    foreign: ClassVar[bool] = True
    logit_shift: ClassVar[int] = 1
    mask_token: ClassVar[str | None] = "<|mask|>"
    padding_side: ClassVar[str] = "left"
