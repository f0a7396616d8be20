"""A folder to publish."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub(Conversion):
    """A folder that plain transformers loads, or the family's own published code: weights in shards, tokenizer, a model card."""

    word: ClassVar[str] = "hub"

    dtype: str = leaf("Number that the weights are written in.", default="bfloat16", choices=("float32", "bfloat16"))
    shard_size: str = leaf("Largest file of weights.", default="5GB", pattern=r"[1-9][0-9]*(KB|MB|GB)", example="2GB")
