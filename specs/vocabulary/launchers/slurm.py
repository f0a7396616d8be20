"""Slurm."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.compatibility import Condition, Relation, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem
from dllm_run.specs.slurm_amounts import slurm_bytes, slurm_seconds

from . import Launch

_LINE = r"^[^\x00-\x1f\x7f]+$(?!\n)"
"""One line of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """How the points of a sweep share the cluster."""

    max_parallel: int | None = leaf("Jobs that run at the same time; null: no limit.", default=None, minimum=1)
    points_per_job: int = leaf(
        "Points that one job does one after the other where their stages need the same, such as one model; 1: each has a job.",
        default=1,
        minimum=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The image that a stage runs in; dllm-run's own code comes from the folder of the runs, Python and its packages from the image."""

    image: str = leaf("Image, as its runtime names it.", pattern=_LINE, example="/images/torch.sqsh")
    runtime: str = leaf("What starts it.", default="pyxis", choices=("pyxis", "apptainer"))
    mounts: tuple[str, ...] = leaf("Folders that it sees beside those of the run: FROM or FROM:TO.", default=(), pattern=_LINE)
    python: str = leaf("Python in the image.", default="python3", pattern=_LINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm(Launch):
    """A job per stage, an array where a sweep has many points."""

    word: ClassVar[str] = "slurm"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            subject="compute.device",
            trait="compute.gpus_per_node",
            values=(0,),
            when=(Condition(trait="compute.device", values=("cpu",)),),
            message="GPUs are asked of Slurm, and the stage runs on the CPU: they would be held and never used",
            code="W420",
        ),
        Requirement(
            subject="compute.device",
            trait="compute.gpus_per_node",
            relation=Relation.AT_LEAST,
            bound=1,
            when=(
                Condition(trait="compute.device", values=("cuda",)),
                Condition(trait="own.gres", given=False),
                Condition(trait="own.extra.gpus", given=False),
            ),
            message="the stage needs a GPU, and none is asked of Slurm",
            code="W420",
        ),
    )

    partition: str | None = leaf("Partition.", default=None)
    account: str | None = leaf("Account that is charged.", default=None)
    qos: str | None = leaf("Quality of service.", default=None)
    time: str | None = leaf(
        "Time limit, as Slurm writes it.", default=None, pattern=r"^(\d+-)?\d{1,3}(:\d{2}){0,2}$(?!\n)", unit="[days-]hours:minutes:seconds"
    )
    cpus_per_task: int | None = leaf("CPU cores of a task.", default=None, minimum=1)
    mem: str | None = leaf("Memory of a node, as Slurm writes it.", default=None, pattern=r"^\d+[KMGT]?$(?!\n)", example="64G")
    gres: str | None = leaf("Generic resources of a node, beside the GPUs of compute.", default=None, pattern=_LINE, example="nvme:1")
    constraint: str | None = leaf("Features that nodes must have.", default=None, pattern=_LINE, example="a100&ib")
    reservation: str | None = leaf("Reservation to run in.", default=None, pattern=_LINE)
    exclude: str | None = leaf("Nodes to stay away from.", default=None, pattern=_LINE, example="node[3,7]")
    notice: int = leaf(
        "How long before its time limit a stage is told to save and to go back to the queue.",
        default=120,
        minimum=1,
        maximum=65535,
        unit="seconds",
    )
    requeue: bool = leaf(
        "Whether a stage that met its time limit, was pre-empted or died goes back to the queue; three failures without progress end it.",
        default=True,
    )
    array: Array = leaf("Limits on arrays.", factory=Array)
    setup: tuple[str, ...] = leaf("Shell lines before the stage starts.", default=(), effect=Effect.NUMERICS)
    env: tuple[str, ...] = leaf(
        "Names of environment variables that the job inherits.",
        default=(),
        effect=Effect.NUMERICS,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)",
    )
    container: Container | None = leaf("Container that stages run in; null: none.", default=None, effect=Effect.NUMERICS)
    script: str | None = leaf(
        "A Jinja2 template for the job scripts, such as a changed copy of launchers/templates/stage.sbatch.j2; null: that one.",
        default=None,
        effect=Effect.NUMERICS,
        pattern=r"^(\.{1,2}/|/|package:)[^\\\x00-\x1f\x7f*?\[]+$(?!\n)",
        unit="a file that starts with ./, ../, / or package:",
        locates="script",
    )
    extra: dict[str, Any] = leaf("Any other sbatch option, without the dashes.", factory=dict, example="{comment: my-project}")

    def time_limit(self) -> int | None:
        return None if self.time is None else slurm_seconds(self.time)

    def memory_limit(self) -> int | None:
        return None if self.mem is None else slurm_bytes(self.mem)

    def cores(self) -> int | None:
        return self.cpus_per_task

    def problems(self) -> Iterator[Problem]:
        """What a line of #SBATCH cannot hold."""
        for name, text in (("partition", self.partition), ("account", self.account), ("qos", self.qos)):
            if text is not None and not text.isprintable():
                yield Problem(code="E103", message=f"{text!r} is not right for {name}", path=(name,), label="one line of printable text")
        for option, value in self.extra.items():
            path = ("extra", option)
            if _OPTION.fullmatch(option) is None:
                yield Problem(
                    code="E103", message=f"{option!r} is no sbatch option", path=path, key=True, label="such as `comment`, without dashes"
                )
            elif option in _OURS:
                yield Problem(code="E103", message=f"sbatch's --{option} is written by dllm-run", path=path, key=True, label=_OURS[option])
            elif isinstance(value, (dict, list)):
                yield Problem(code="E104", message=f"the value of --{option} must be one text or number, or true", path=path)
            elif isinstance(value, str) and not value.isprintable():
                yield Problem(code="E103", message=f"{value!r} is not right for --{option}", path=path, label="one line of printable text")


_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_OURS = {
    "array": "the points decide it; `array: {max_parallel: 4}` limits it",
    "dependency": "the stages decide it",
    "export": "name the variables in `env`",
    "nodes": "write it as `nodes` of compute",
    "ntasks-per-node": "one task a node starts its processes: write `processes` of compute",
    "partition": "write it as `partition` of launch",
    "account": "write it as `account` of launch",
    "qos": "write it as `qos` of launch",
    "time": "write it as `time` of launch",
    "cpus-per-task": "write it as `cpus_per_task` of launch",
    "mem": "write it as `mem` of launch",
    "gres": "write it as `gres` of launch",
    "constraint": "write it as `constraint` of launch",
    "reservation": "write it as `reservation` of launch",
    "exclude": "write it as `exclude` of launch",
    "requeue": "write it as `requeue` of launch",
    "no-requeue": "write `requeue: false` in launch",
    "signal": "stages are told `notice` seconds before their time limit",
    "job-name": "it is made of the names of experiment and stage",
    "output": "`dllm-run logs` finds it beside the run",
    "error": "`dllm-run logs` finds it beside the run",
    "kill-on-invalid-dep": "it is always given",
    "parsable": "dllm-run reads what sbatch says",
    "wait": "`submit` returns at once; `status --watch` waits",
    "gpus-per-node": "write it as `gpus_per_node` of compute",
}
"""Options that the scripts hold already: a second one would silently win or lose."""
