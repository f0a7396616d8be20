"""Folding an adapter into its weights."""

from typing import Any

from dllm_run.specs.vocabulary.stages.merge import Merge

from ..checkpoint import save
from ..context import Context
from ..models import load


def run(context: Context) -> dict[str, Any]:
    """Load the weights whole and write them."""
    body = context.stage.body
    assert isinstance(body, Merge)
    loaded, folder = load(context, body.model, whole=True), context.entry.output("model")
    save(loaded.denoiser.network, folder)
    loaded.tokens.fast.save_pretrained(str(folder))
    return {"parameters": loaded.denoiser.network.num_parameters()}
