"""The precision of matrix products outside Trainer, by the plan."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from dllm_run.specs.vocabulary.compute import Compute


def precision_of(compute: Compute) -> Callable[[], AbstractContextManager[Any]]:
    """A context for forward passes: autocast where the plan says bf16."""
    if compute.precision == "bf16":
        return lambda: torch.autocast(compute.device or "cpu", dtype=torch.bfloat16)
    return nullcontext
