"""Held-out prompts and their very responses."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Requirement, Row

from . import BuiltInTask


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch(BuiltInTask):
    """The held-out prompts are answered; an answer is right if it is the response to the letter, but for spaces around it."""

    word: ClassVar[str] = "exact_match"
    needs: ClassVar[tuple[str, ...]] = ("data", "sampler")
    ignores: ClassVar[tuple[str, ...]] = ("likelihood", "chat_template", "allow_code_execution")
    takes_examples: ClassVar[bool] = False
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="format",
            values=("pairs",),
            message="task {subject} asks prompts and compares responses, and the data are read as {trait}",
        ),
    )
