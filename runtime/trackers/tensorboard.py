"""Event files of TensorBoard, those of all attempts in one folder: what a later one does again takes the place of what was there."""

import importlib
from collections.abc import Mapping
from typing import Any

from dllm_run.specs.vocabulary.trackers.tensorboard import TensorBoard

from . import Opens, Tracked

_FLUSH_SECONDS = 10
"""A curve that is looked at while it grows, and what a killed process may lose of it."""


class _Events:
    """A writer of event files."""

    def __init__(self, tracked: Tracked) -> None:
        library: Any = importlib.import_module("torch.utils.tensorboard")
        folder = str(tracked.folder / "tensorboard")
        self._writer = library.SummaryWriter(folder, purge_step=tracked.step + 1, flush_secs=_FLUSH_SECONDS)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


def build(word: TensorBoard) -> Opens:
    """There is nothing to choose."""
    return _Events
