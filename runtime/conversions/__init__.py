"""Conversions of models. Every module has `build(word) -> Converted`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..context import Context
from ..models import Loaded

Converted = Callable[[Context, Loaded, Path], dict[str, Any]]
"""(context, model, folder): write what it becomes to the folder; the results of the stage."""
