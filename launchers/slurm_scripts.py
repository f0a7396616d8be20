"""Slurm as text: a batch script a stage, an array where the sweep has many points."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from dllm_run.specs.plan import Plan
from dllm_run.specs.script import ScriptProblem
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.launchers.slurm import Container, Slurm
from dllm_run.specs.vocabulary.stages import Stage

from .alike import alike
from .job import BASE, RUNS, TREE, portable_start
from .script import fill_script, script_problems
from .sent import together
from .stages import inherited, points_by_stage
from .template import fill

_OPTIONS = (
    "partition",
    "account",
    "qos",
    "reservation",
    "time",
    "cpus_per_task",
    "mem",
    "gres",
    "constraint",
    "exclude",
    "extra",
)
NO_SCRIPTS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The stages that share a name: one script."""

    stage: str
    tasks: Sequence[tuple[str, ...]]
    """Stages that each job does, one after the other."""
    file: str
    variable: str
    after: list[str]

    @property
    def first(self) -> str:
        """Its first stage, which asks for what all of them do."""
        return self.tasks[0][0]


def render(plan: Plan, scripts: Mapping[str, str] = NO_SCRIPTS) -> dict[str, str]:
    """`submit.sh` and a script for each stage name; stages that points share are in it once. `scripts`: the user's templates by locator."""
    batches = _batches(plan)
    points = points_by_stage(plan)
    out = {batch.file: _script(plan, batch, points, scripts) for batch in batches}
    out["submit.sh"] = fill("submit.sh", {"name": plan.name, "jobs": batches})
    return out


def check(plan: Plan, scripts: Mapping[str, str]) -> list[ScriptProblem]:
    """What is wrong with the user's templates, under the values that each of its jobs gives them; each finding once."""
    found: dict[ScriptProblem, None] = {}
    points = points_by_stage(plan)
    for batch in _batches(plan):
        launch, _ = _wanted(plan, batch.first)
        if launch.script is not None:
            values = _values(plan, batch, points)
            given = {**_given(launch), **_given_processes(plan.stages[batch.first].body.compute)}
            found.update(dict.fromkeys(script_problems(launch.script, scripts[launch.script], values, given)))
    return list(found)


def script_of(plan: Plan, name: str, tasks: Sequence[tuple[str, ...]], scripts: Mapping[str, str]) -> str:
    """The script of one job, or of one array."""
    batch = _Batch(stage=name, tasks=tasks, file="", variable="", after=[])
    return _script(plan, batch, points_by_stage(plan), scripts)


def _batches(plan: Plan) -> list[_Batch]:
    """One batch a name, in an order in which each comes after those it needs.

    A name has several where its stages need each other, or ask for other things of the cluster: an array is alike throughout.
    """
    batches: list[_Batch] = []
    owner: dict[str, str] = {}
    for name, ids in groups(plan):
        needed = {owner[need.stage] for stage_id in ids for need in plan.stages[stage_id].needs}
        after = [f"${{{batch.variable}}}" for batch in batches if batch.variable in needed]
        earlier = sum(batch.stage == name for batch in batches)
        variable = _variable(name, {batch.variable for batch in batches})
        file = f"{name}.{earlier + 1}.sbatch" if earlier else f"{name}.sbatch"
        tasks = together(plan, ids, launch_of(plan, ids[0]).array.points_per_job)
        batches.append(_Batch(stage=name, tasks=tasks, file=file, variable=variable, after=after))
        owner.update(dict.fromkeys(ids, variable))
    return batches


def groups(plan: Plan, among: Collection[str] | None = None) -> list[tuple[str, list[str]]]:
    """Stages that one array can run, by name; `among`: these only."""
    return alike(plan, lambda stage_id: repr((_wanted(plan, stage_id), *_processes(plan, stage_id))), among)


def _variable(name: str, taken: set[str]) -> str:
    plain = "job_" + re.sub(r"\W", "_", name)
    while plain in taken:
        plain += "_"
    return plain


def launch_of(plan: Plan, stage_id: str) -> Slurm:
    """What a stage says of its launch."""
    launch = plan.stages[stage_id].body.launch
    return launch if isinstance(launch, Slurm) else Slurm()


def _wanted(plan: Plan, stage_id: str) -> tuple[Slurm, list[tuple[str, Any]]]:
    body = plan.stages[stage_id].body
    launch = launch_of(plan, stage_id)
    return launch, options_of(body, launch)


def _processes(plan: Plan, stage_id: str) -> tuple[int, str]:
    """Nodes of a stage, and how it is started on each."""
    compute = plan.stages[stage_id].body.compute
    # Names of this tool's own variables, which the script sets, in double quotes.
    words = [f'"{word}"' if word.startswith("$") else word for word in portable_start(compute)]
    return compute.nodes, " ".join(words)


def _script(plan: Plan, batch: _Batch, points: Mapping[str, list[str]], scripts: Mapping[str, str]) -> str:
    launch, _ = _wanted(plan, batch.first)
    values = _values(plan, batch, points)
    return fill("stage.sbatch", values) if launch.script is None else fill_script(launch.script, scripts[launch.script], values)


def _values(plan: Plan, batch: _Batch, points: Mapping[str, list[str]]) -> dict[str, Any]:
    launch, options = _wanted(plan, batch.first)
    nodes, start = _processes(plan, batch.first)
    return {
        "name": plan.name,
        "stage": batch.stage,
        "nodes": nodes,
        "start": start,
        "ids": [(" ".join(task), _few([point for stage_id in task for point in points[stage_id]])) for task in batch.tasks],
        "per_job": launch.array.points_per_job,
        "options": options,
        "max_parallel": launch.array.max_parallel,
        "exported": inherited(launch),
        "setup": launch.setup,
        "requeue": launch.requeue,
        "notice": launch.notice,
        "srun": " ".join(srun_words(launch)),
        "python": python_words(launch, "python"),
    }


def srun_words(launch: Slurm) -> list[str]:
    """What srun is told beside what it runs, each quoted. Since Slurm 22.05 it does not take the cores of a task from the job."""
    found = ["--kill-on-bad-exit=1", "--export=ALL"]
    if launch.cpus_per_task is not None:
        found.append(f"--cpus-per-task={launch.cpus_per_task}")
    container = launch.container
    if container is not None and container.runtime == "pyxis":
        found.append(f"--container-image={shlex.quote(container.image)}")
        found.append(f"--container-mounts={','.join(_mounts(container))}")
    return found


def python_words(launch: Slurm, python: str) -> str:
    """Shell words that start Python, in the container if there is one; `python`: the one without."""
    container = launch.container
    if container is None:
        return python
    inside = shlex.quote(container.python)
    if container.runtime == "pyxis":
        return inside
    return " ".join(
        ["apptainer", "exec", "--nv", *(f"--bind={mount}" for mount in _mounts(container)), shlex.quote(container.image), inside]
    )


def _mounts(container: Container) -> list[str]:
    """FROM:TO, quoted. Every folder that a job needs has the same name inside and outside."""
    own = [f'"{name}:{name}"' for name in (TREE, RUNS, BASE)]
    return own + [shlex.quote(mount if ":" in mount else f"{mount}:{mount}") for mount in container.mounts]


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _given(launch: Slurm) -> dict[str, str]:
    """Names that a template must read, with what the spec would say in vain if it did not."""
    fields = {name: getattr(launch, name) for name in _OPTIONS}
    said = [name for name, value in fields.items() if value]
    found = {"ids": "no stage would run"}
    if said:
        found["options"] = f"`{'`, `'.join(said)}` of the launch would have no effect"
    for name, value, field in (("setup", launch.setup, "setup"), ("exported", launch.env, "env")):
        if value:
            found[name] = f"`{field}` of the launch would have no effect"
    if not launch.requeue:
        found["requeue"] = "`requeue` of the launch would have no effect"
    if launch.notice != Slurm().notice:
        found["notice"] = "`notice` of the launch would have no effect"
    if launch.container is not None:
        found["srun" if launch.container.runtime == "pyxis" else "python"] = "`container` of the launch would have no effect"
    if launch.array.max_parallel is not None:
        found["max_parallel"] = "`array.max_parallel` of the launch would have no effect"
    if launch.array.points_per_job > 1:
        found["per_job"] = "a job of several points would run none"
    return found


def _given_processes(compute: Compute) -> dict[str, str]:
    """The same for a stage that processes share."""
    found = {"start": "the stage would run in one process"} if compute.world > 1 else {}
    return {**found, "nodes": "the stage would run on one node"} if compute.nodes > 1 else found


def options_of(body: Stage, launch: Slurm) -> list[tuple[str, Any]]:
    """Options of sbatch, without dashes; None: an option without a value."""
    named = {
        "partition": launch.partition,
        "account": launch.account,
        "qos": launch.qos,
        "reservation": launch.reservation,
        "time": launch.time,
        "cpus-per-task": launch.cpus_per_task,
        "mem": launch.mem,
        "gpus-per-node": body.compute.gpus_per_node or None,
        "gres": launch.gres,
        "constraint": launch.constraint,
        "exclude": launch.exclude,
    }
    given = [(option, value) for option, value in named.items() if value is not None]
    # In `extra` true is an option without a value; false and null are no option.
    extra = [(option, value) for option, value in sorted(launch.extra.items()) if value is not None and value is not False]
    return given + [(option, None if value is True else value) for option, value in extra]
