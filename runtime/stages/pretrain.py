"""Training on plain text."""

from typing import Any

from ..context import Context
from ..train import train


def run(context: Context) -> dict[str, Any]:
    """Train; what may be masked was decided when the data were prepared."""
    return train(context)
