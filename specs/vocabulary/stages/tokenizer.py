"""Training a tokenizer."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Inert, Row
from dllm_run.specs.field import leaf

from ..data import Data
from . import ALONE, UNSEEDED, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerStage(Stage):
    """Train a tokenizer on the training rows of a data set. Output: `tokenizer`."""

    word: ClassVar[str] = "tokenizer"
    semantics: ClassVar[int] = 2  # rows equal to a held-out one leave training
    outputs: ClassVar[tuple[str, ...]] = ("tokenizer",)
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        *ALONE,
        UNSEEDED,
        Inert(option="compute.precision", reason="this stage has no model"),
        Inert(option="compute.attention_kernel", reason="this stage has no model"),
        Inert(option="compute.gradient_checkpointing", reason="this stage has no model"),
        Inert(option="compute.compile", reason="this stage has no model"),
    )

    type: str = leaf("Kind of tokenizer: byte-level byte-pair encoding.", default="bpe", choices=("bpe",))
    vocab_size: int = leaf("Tokens, with the special ones.", unit="tokens", minimum=300)
    data: Data = leaf("The data set whose training rows are read.")
