"""TensorBoard."""

from dataclasses import dataclass
from typing import ClassVar

from . import Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBoard(Tracker):
    """Event files, `tensorboard --logdir runs/NAME/ID/points` shows those of a run: `pip install dllm-run[tensorboard]`."""

    word: ClassVar[str] = "tensorboard"
    package: ClassVar[str] = "tensorboard"
    brought_by: ClassVar[str] = "tensorboard"
