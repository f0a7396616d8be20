"""Preparing a data set."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.reference import Reference

from ..data import Data
from ..special_tokens import SpecialTokens
from ..starts import Start
from ..tokenizers import Tokenizer
from . import ALONE, UNSEEDED, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStage(Stage):
    """Read, split, tokenise and store a data set, on the CPU. Output: `data`."""

    word: ClassVar[str] = "data"
    semantics: ClassVar[int] = 2  # rows equal to a held-out one leave training
    outputs: ClassVar[tuple[str, ...]] = ("data",)
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        *ALONE,
        UNSEEDED,
        Inert(option="compute.precision", reason="this stage has no model"),
        Inert(option="compute.attention_kernel", reason="this stage has no model"),
        Inert(option="compute.gradient_checkpointing", reason="this stage has no model"),
        Inert(option="compute.compile", reason="this stage has no model"),
    )

    data: Data = leaf("The data set.")
    format: str = leaf("How rows are read.", default="text", choices=("text", "pairs"))
    tokenizer: Tokenizer | Reference | str = leaf(
        "The tokenizer: a word, a tokenizer stage, or the folder of a model that brings one.", output="tokenizer", locates="model"
    )
    start: Start | None = leaf(
        "What the objective edit_flow starts from: every sequence is aligned with it; null: for other objectives.", default=None, late=True
    )
    special_tokens: SpecialTokens | None = leaf("Special tokens that are not those of the tokenizer.", default=None)
