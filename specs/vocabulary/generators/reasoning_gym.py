"""Tasks of the package reasoning-gym."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.field import leaf

from . import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningGym(Generator):
    """Questions and answers of a task of reasoning-gym, such as word problems: `pip install dllm-run[reasoning]`."""

    word: ClassVar[str] = "reasoning_gym"
    package: ClassVar[str] = "reasoning_gym"
    brought_by: ClassVar[str] = "reasoning"

    task: str = leaf("Name of the task.", example="gsm_symbolic", pattern=r"^[a-z0-9_]+$")
    size: int = leaf("Rows.", unit="rows", default=1000, minimum=1)
    seed: int = leaf("Chooses the rows.", default=0, minimum=0)
    options: dict[str, Any] = leaf("Options of the task, as the package names them.", factory=dict, example="{difficulty: 2.0}")
