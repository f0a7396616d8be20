"""What launchers over hosts have in common: which hosts there are, and what their processes get from here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from .launchers import Launch

_LINE = r"^[^\x00-\x1f\x7f]+$(?!\n)"
_HOST = r"^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$(?!\n)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine that ssh reaches without a question."""

    name: str = leaf("Its name, as every other host knows it.", pattern=_HOST, example="node1")
    slots: int = leaf("Processes that it can hold: its GPUs.", default=1, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverHosts(Launch):
    """Base of the launchers that start the processes of a stage on hosts, by ssh. All see the same disk under the same names."""

    watched: ClassVar[bool] = True

    hosts: tuple[Host, ...] = leaf("Hosts; the first holds the first process.", default=())
    hostfile: str | None = leaf(
        "The same as a file of lines `NAME slots=N`, from the folder of the spec; null, and no hosts: those of the allocation of Slurm, "
        "PBS or LSF in which the run is started.",
        default=None,
        pattern=_LINE,
        example="./hostfile",
    )
    port: int = leaf("Where processes meet, on the first host.", default=29500, minimum=1024, maximum=65535)
    env: tuple[str, ...] = leaf(
        "Names of variables that processes get from here, beside PATH, those of Python and the hub, and NCCL_, GLOO_, UCX_, FI_ and CUDA_.",
        default=(),
        effect=Effect.NUMERICS,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)",
    )
    ssh: tuple[str, ...] = leaf("Options of ssh.", default=(), pattern=_LINE, example='["-p", "2222"]')

    def rows(self) -> Iterator[Row]:
        """Also: as many nodes as there are hosts."""
        yield from self.table
        if self.hosts:
            yield Requirement(
                subject="compute.nodes",
                trait="compute.nodes",
                values=tuple(range(1, len(self.hosts) + 1)),
                when=(Condition(trait="stage.objective", given=True),),
                message=f"{{subject}} nodes, and {len(self.hosts)} host{'s' if len(self.hosts) > 1 else ''}",
                code="E482",
                cure=("compute.nodes", len(self.hosts)),
            )

    def problems(self) -> Iterator[Problem]:
        """Hosts that are said twice."""
        if self.hosts and self.hostfile is not None:
            yield Problem(
                code="E103",
                message="hosts stand in the spec and in a file: which are meant?",
                path=("hostfile",),
                label="leave one of them out",
                related=((("hosts",), "and here"),),
            )
        names = [host.name for host in self.hosts]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Problem(
                    code="E103", message=f"{name} stands there twice", path=("hosts", str(index), "name"), label="add its slots up"
                )
