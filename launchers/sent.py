"""Which jobs a run is sent off as: arrays where a sweep has many points, each after what it needs. Pure; brute force checks it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dllm_run.specs.plan import Plan

Place = tuple[int, int]
"""Number of a job in the list, and index in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """A condition under which a job may begin."""

    kind: str
    """As Slurm says it: `afterok`, `aftercorr` (each after the one of its own index), `afterany`."""
    job: int | None = None
    """Number of another job of the list; None: one that was there before."""
    index: int | None = None
    """One of an array; None: the whole."""
    id: str = ""
    """Of a job that was there before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job, or an array."""

    name: str
    tasks: tuple[tuple[str, ...], ...]
    """Stages that each one does, one after the other."""
    after: tuple[After, ...]

    @property
    def stages(self) -> tuple[str, ...]:
        """All of its stages."""
        return tuple(stage for task in self.tasks for stage in task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What shapes arrays."""

    chunk: int
    """The longest array that the cluster takes."""
    parallel: int | None
    """Jobs of a name that may run at the same time; None: any number."""
    together: int = 1
    """Stages that one job may do, where they need the same."""


def jobs_of(plan: Plan, alike: Sequence[Sequence[str]], limits: Mapping[str, Limits], running: Mapping[str, str]) -> list[NewJob]:
    """The jobs for what `alike` holds: groups of stages that ask for the same, each after those it needs.

    `limits`: by the first stage of a group. `running`: stages that a job of an earlier sending works on, with its id.
    """
    jobs: list[NewJob] = []
    places: dict[str, Place] = {}
    for group in alike:
        # What the first of a task needs, all of it need.
        tasks = {task[0]: task for task in together(plan, group, limits[group[0]].together)}
        for name, firsts, after in _split(plan, list(tasks), limits[group[0]], places, jobs, running):
            places.update({stage: (len(jobs), index) for index, first in enumerate(firsts) for stage in tasks[first]})
            jobs.append(NewJob(name=name, tasks=tuple(tasks[first] for first in firsts), after=tuple(after)))
    return jobs


def together(plan: Plan, group: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """Stages of a group by the job that does them: at most so many that need the same, in the order of the group."""
    alike: dict[frozenset[str], list[str]] = {}
    for stage in group:
        alike.setdefault(frozenset(need.stage for need in plan.stages[stage].needs), []).append(stage)
    tasks = [tuple(part) for stages in alike.values() for part in _chunks(stages, most)]
    order = {stage: number for number, stage in enumerate(group)}
    return sorted(tasks, key=lambda task: order[task[0]])


def _split(
    plan: Plan,
    group: Sequence[str],
    limits: Limits,
    places: Mapping[str, Place],
    jobs: Sequence[NewJob],
    running: Mapping[str, str],
) -> Iterable[tuple[str, list[str], list[After]]]:
    """One group as jobs. An array has one condition for all of it, save that each may follow the one of its own index."""
    name = plan.names[group[0]]
    earlier = {stage: tuple(sorted({running[need.stage] for need in plan.stages[stage].needs if need.stage in running})) for stage in group}
    needs = {stage: tuple(sorted({places[need.stage] for need in plan.stages[stage].needs if need.stage in places})) for stage in group}
    parts = _together(group, needs, earlier, jobs, limits)
    # Limits hold for one array: the next of the same name follows it.
    chain = limits.parallel is not None and len(parts) > 1
    number = len(jobs)
    for offset, (stages, after) in enumerate(parts):
        more = [After(kind="afterany", job=number + offset - 1)] if chain and offset else []
        yield name, stages, [*after, *more]


def _together(
    group: Sequence[str],
    needs: Mapping[str, tuple[Place, ...]],
    earlier: Mapping[str, tuple[str, ...]],
    jobs: Sequence[NewJob],
    limits: Limits,
) -> list[tuple[list[str], list[After]]]:
    by_jobs: dict[tuple[tuple[int, ...], tuple[str, ...]], list[str]] = {}
    for stage in group:
        by_jobs.setdefault((tuple(sorted({job for job, _ in needs[stage]})), earlier[stage]), []).append(stage)
    found: list[tuple[list[str], list[After]]] = []
    for (_, waits), stages in by_jobs.items():
        before = [After(kind="afterok", id=job) for job in waits]
        for part in _chunks(stages, limits.chunk):
            shared = _conditions(part, needs, jobs)
            if shared is not None:
                found.append((part, [*before, *shared]))
            elif limits.parallel is not None:
                # One array keeps the limit. It begins when all that it needs has ended; what then lacks a result ends at once.
                numbers = sorted({job for stage in part for job, _ in needs[stage]})
                found.append((part, [*before, *(After(kind="afterany", job=job) for job in numbers)]))
            else:
                alike: dict[tuple[Place, ...], list[str]] = {}
                for stage in part:
                    alike.setdefault(needs[stage], []).append(stage)
                found.extend((same, [*before, *(_conditions(same, needs, jobs) or ())]) for same in alike.values())
    return found


def _conditions(part: Sequence[str], needs: Mapping[str, tuple[Place, ...]], jobs: Sequence[NewJob]) -> list[After] | None:
    """What all of an array may share; None where its members need different things."""
    found: list[After] = []
    for job in sorted({job for stage in part for job, _ in needs[stage]}):
        indices = [[index for other, index in needs[stage] if other == job] for stage in part]
        if all(mine == indices[0] for mine in indices):
            whole = len(jobs[job].tasks) == 1
            found.extend(After(kind="afterok", job=job, index=None if whole else index) for index in indices[0])
        elif len(jobs[job].tasks) == len(part) and all(mine == [index] for index, mine in enumerate(indices)):
            found.append(After(kind="aftercorr", job=job))
        else:
            return None
    return found


def _chunks(stages: Sequence[str], size: int) -> Iterable[list[str]]:
    for start in range(0, len(stages), size):
        yield list(stages[start : start + size])
