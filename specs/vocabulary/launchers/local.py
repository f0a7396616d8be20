"""This machine."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf

from . import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Local(Launch):
    """Stages run here, each in a process of its own."""

    word: ClassVar[str] = "local"
    here: ClassVar[bool] = True
    watched: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        Inert(
            option="compute.gpus_per_node",
            when=(Condition(trait="compute.device", values=("cpu",)),),
            reason="the stage runs on the CPU",
        ),
        *(
            Requirement(
                subject="compute.nodes",
                trait="compute.nodes",
                values=(1,),
                when=(Condition(trait=shared, given=True),),
                message="this machine is one node, not {subject}",
                reason="`launch: slurm` has nodes",
                code="E482",
                cure=("compute.nodes", 1),
            )
            for shared in ("stage.objective", "stage.tasks")
        ),
    )

    max_parallel: int = leaf(
        "Stages that run at the same time where none needs the other; each has GPUs of its own, and waits where there are too few.",
        default=1,
        minimum=1,
    )
