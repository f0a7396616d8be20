"""An exponential moving average of what is trained: evaluated and written in the place of the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from .failure import Failure

FILE = "ema.safetensors"
"""Its name in a checkpoint."""


class Average:
    """Averages of the trained parameters, in float32 at least: average = decay * average + (1 - decay) * weight after every step."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        self.averages = {name: _wide(parameter.detach()).clone() for name, parameter in self.parameters.items()}
        self._move: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the optimizer."""
        self._move(list(self.averages.values()), [_wide(parameter.detach()) for parameter in self.parameters.values()], None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A block in which the network has the averages for weights."""
        own = {name: parameter.data for name, parameter in self.parameters.items()}
        try:
            for name, parameter in self.parameters.items():
                parameter.data = self.averages[name].to(parameter.dtype)
            yield
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = own[name]

    def save(self, folder: Path) -> None:
        """Write them to a checkpoint."""
        save_file({name: value.contiguous().cpu() for name, value in self.averages.items()}, str(folder / FILE))

    def restore(self, folder: Path) -> None:
        """Take those of a checkpoint. Raises Failure where it has none, or others."""
        path = folder / FILE
        found = load_file(str(path)) if path.is_file() else {}
        if found.keys() != self.averages.keys():
            raise Failure(f"checkpoint {folder} has no averages of these weights")
        for name, value in found.items():
            self.averages[name].copy_(value)


def _wide(value: Tensor) -> Tensor:
    return value if value.dtype == torch.float64 else value.float()
