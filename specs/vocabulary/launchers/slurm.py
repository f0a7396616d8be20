"""Slurm."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf

from . import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """How the points of a sweep share the cluster."""

    max_parallel: int | None = leaf("Points that run at the same time; null: no limit.", default=None, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm(Launch):
    """A job per stage, an array where a sweep has many points."""

    word: ClassVar[str] = "slurm"

    partition: str | None = leaf("Partition.", default=None)
    account: str | None = leaf("Account that is charged.", default=None)
    qos: str | None = leaf("Quality of service.", default=None)
    time: str | None = leaf(
        "Time limit, as Slurm writes it.", default=None, pattern=r"^(\d+-)?\d{1,3}(:\d{2}){0,2}$", unit="[days-]hours:minutes:seconds"
    )
    cpus_per_task: int | None = leaf("CPU cores of a task.", default=None, minimum=1)
    mem: str | None = leaf("Memory of a node, as Slurm writes it.", default=None, pattern=r"^\d+[KMGT]?$", example="64G")
    array: Array = leaf("Limits on arrays.", factory=Array)
    setup: tuple[str, ...] = leaf("Shell lines before the stage starts.", default=(), effect=Effect.NUMERICS)
    env: tuple[str, ...] = leaf(
        "Names of environment variables that the job inherits.", default=(), effect=Effect.NUMERICS, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"
    )
    extra: dict[str, Any] = leaf("Any other sbatch option, without the dashes.", factory=dict, example="{comment: my-project}")
