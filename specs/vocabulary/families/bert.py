"""BERT: an encoder with learned positions, made to fill in masks."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.field import leaf

from . import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Bert(Encoder):
    """The BERT architecture."""

    word: ClassVar[str] = "bert"
    model_types: ClassVar[tuple[str, ...]] = ("bert",)

    positions: int = leaf("Longest sequence that the model is built for.", unit="tokens", default=512, minimum=1)

    def sizes(self) -> dict[str, Any]:
        return {**Encoder.sizes(self), "type_vocab_size": 2}
