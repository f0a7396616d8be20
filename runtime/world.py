"""Which of the processes of a stage this one is, and whether they are those of the plan. Nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from dllm_run.specs.environment import RANK
from dllm_run.specs.vocabulary.compute import Compute

from .failure import Failure


@dataclass(frozen=True, slots=True)
class World:
    """One process among those of a stage."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that owns attempt, status and events."""
        return self.rank == 0


ALONE = World()
"""The world of a stage in one process."""


def world_of(environment: Mapping[str, str]) -> World:
    """The world that a launcher has put into the environment; one process where there was none. Raises Failure for half of one."""
    given = {name: environment[name] for name in RANK if name in environment}
    if not {"RANK", "WORLD_SIZE"} & given.keys():
        return ALONE
    missing = [name for name in RANK if name not in given]
    if missing:
        raise Failure(f"{', '.join(given)} came with the environment and {', '.join(missing)} did not: several processes need all of them")
    for name in RANK[:4]:
        if not given[name].isdigit():
            raise Failure(f"{name} is {given[name]!r}, and should be a number")
    return World(*(int(given[name]) for name in RANK[:4]))


def refuse_other(world: World, compute: Compute) -> None:
    """Raises Failure where these are not the processes of the plan: a step would have another batch."""
    if world.size == compute.processes:
        return
    planned, here = (f"{number} process{'es' if number != 1 else ''}" for number in (compute.processes or 1, world.size))
    cure = "`dllm-run run`, and the scripts beside the plan, start as many as it says"
    raise Failure(f"the plan is for {planned}, and {here} {'were' if world.size != 1 else 'was'} started: {cure}")
