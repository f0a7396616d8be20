"""Converting a model."""

from typing import Any

from dllm_run.specs.vocabulary.stages.convert import Convert

from ..build import build
from ..context import Context
from ..conversions import Converted
from ..models import load


def run(context: Context) -> dict[str, Any]:
    """Load the model and write what it becomes."""
    body = context.stage.body
    assert isinstance(body, Convert)
    conversion: Converted = build(body.to)
    return conversion(context, load(context, body.model, whole=True), context.entry.output("model"))
