"""Stock architectures of families, which follow from the word alone. A foreign family has a module with `build` and FORMAT."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from dllm_run.specs.vocabulary.families import Family, architecture_of

from ..build import module_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The format of a family's published checkpoints, where it is not that of the stock architecture."""

    stock: Callable[[dict[str, Any]], dict[str, Any]]
    """From what its config.json says to what that of the stock architecture would. Raises Failure for what that cannot compute."""
    original: Callable[[PreTrainedConfig], dict[str, Any]]
    """Back, complete."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of names of weights in the checkpoint, to those in the stock architecture; `*` is the number of a layer."""
    tokenizer: str | None = None
    """Class of transformers that reads its tokenizer, where the folder names one that comes as code."""

    def to_stock(self) -> dict[str, str]:
        """The renames on loading, as transformers takes them: expression to replacement."""
        return {_expression(theirs): _replacement(stock) for theirs, stock in self.names.items()}

    def stock_name(self, name: str) -> str:
        """The name in the stock architecture of a weight of a checkpoint."""
        for expression, replacement in self.to_stock().items():
            renamed, times = re.subn(expression, replacement, name)
            if times:
                return renamed
        return name

    def to_original(self, name: str) -> str:
        """The name in a checkpoint of a weight of the stock architecture."""
        for theirs, stock in self.names.items():
            renamed, times = re.subn(_expression(stock), _replacement(theirs), name)
            if times:
                return renamed
        return name


def _expression(pattern: str) -> str:
    return "^" + re.escape(pattern).replace(r"\*", r"(\d+)") + r"(?=\.)"


def _replacement(pattern: str) -> str:
    return pattern.replace("*", r"\1")


def build(word: Family) -> PreTrainedConfig:
    """The configuration of a word, read bidirectionally; the caller sets the vocabulary."""
    # Special tokens are the tokenizer's business: a config that names one for padding keeps its row from learning.
    apart = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    causal = {} if word.masked else {"is_causal": False, "use_cache": False}
    return AutoConfig.for_model(architecture_of(type(word)), **{**apart, **causal, **word.sizes()})


def format_of(family: type[Family] | None) -> Format | None:
    """The format of a family's checkpoints; None where it is the stock one."""
    if family is None or not family.foreign:
        return None
    found: Format = module_of(family).FORMAT
    return found
