"""Held-out texts with their middle taken out."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Requirement, Row

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class FillInTheMiddle(BuiltInTask):
    """Held-out texts with a quarter of their tokens, one span, filled in by the sampler; scored by tokens, and by whole spans, restored."""

    word: ClassVar[str] = "fill_in_the_middle"
    needs: ClassVar[tuple[str, ...]] = ("data", "sampler")
    emptied: ClassVar[float] = 0.25
    ignores: ClassVar[tuple[str, ...]] = ("likelihood", "max_new_tokens", "chat_template", "allow_code_execution")
    takes_examples: ClassVar[bool] = False
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="format",
            values=("text",),
            message="task {subject} takes the middle out of texts, and the data are read as {trait}",
        ),
    )
