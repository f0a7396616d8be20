"""This machine."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Row

from . import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Local(Launch):
    """Stages run here, one after the other, each in a process of its own."""

    word: ClassVar[str] = "local"
    here: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        Inert(
            option="compute.gpus_per_node",
            when=(Condition(trait="compute.device", values=("cpu",)),),
            reason="the stage runs on the CPU",
        ),
    )
