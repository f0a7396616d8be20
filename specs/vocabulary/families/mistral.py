"""Mistral: Llama's layers, with heads of keys that several heads of queries share."""

from dataclasses import dataclass
from typing import Any, ClassVar

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistral(Rotary):
    """The Mistral architecture, read bidirectionally and without its sliding window."""

    word: ClassVar[str] = "mistral"
    model_types: ClassVar[tuple[str, ...]] = ("mistral",)

    def sizes(self) -> dict[str, Any]:
        return {**Rotary.sizes(self), "sliding_window": None}
