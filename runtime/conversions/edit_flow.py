"""Adding the heads of Edit Flows."""

from pathlib import Path
from typing import Any

from dllm_run.specs.vocabulary.conversions.edit_flow import EditHeads

from ..checkpoint import save
from ..context import Context
from ..edit_heads import add_heads, has_heads
from ..failure import Failure
from ..models import Loaded
from ..noise import Stream
from . import Converted


def with_heads(context: Context, loaded: Loaded, folder: Path) -> dict[str, Any]:
    """The model with fresh heads. Raises Failure where it has some: they would be lost."""
    network = loaded.denoiser.network
    if has_heads(network):
        raise Failure("the model has heads for edits already: train it as it is")
    before = sum(parameter.numel() for parameter in network.parameters())
    add_heads(network, Stream(context.seed, "edit heads"))
    save(network, folder)
    loaded.tokens.fast.save_pretrained(str(folder))
    after = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": after, "added": after - before}


def build(word: EditHeads) -> Converted:
    """The conversion of the word."""
    return with_heads
