"""Weights & Biases."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Wandb(Tracker):
    """Runs of Weights & Biases, those of one plan in one group: `pip install dllm-run[wandb]`; `wandb sync` sends what is offline."""

    word: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"
    brought_by: ClassVar[str] = "wandb"

    project: str | None = leaf("Project; null: the name of the experiment.", default=None, pattern=r"^[^/\\#?%:\n]{1,128}$(?!\n)")
    entity: str | None = leaf("User or team that has the project; null: that of the login.", default=None, pattern=r"^[^/\s]+$(?!\n)")
    mode: str = leaf("Whether metrics are sent at once, or kept in files.", default="offline", choices=("offline", "online"))
