"""Conversations in the form of ShareGPT."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareGpt(Mapping):
    """Conversations written as lists of {from: human, value: …}: adds a column `messages` of {role: user, content: …}."""

    word: ClassVar[str] = "sharegpt"

    column: str = leaf("The column of the conversation.", default="conversations")
