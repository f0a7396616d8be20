"""Sending a run to Slurm through submitit: a job a stage, arrays for sweeps, each after what it needs. Returns at once."""

import contextlib
import getpass
import importlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dllm_run.specs.disk import cannot_write
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.hub import cache_folder
from dllm_run.specs.jobs import Sending, SentJob, new_folder
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.launchers.slurm import Array

from .code import freeze_code
from .sent import After, Limits, NewJob, jobs_of
from .slurm_scripts import groups, launch_of, options_of, python_words, script_of, srun_words
from .stages import inherited
from .task import Task, start

_CHUNK = 1001
"""Slurm's own MaxArraySize."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    """What all jobs of one sending have in common."""

    plan: Plan
    run: Path
    runs: Runs
    base: Path
    scripts: Mapping[str, str]
    folder: Path
    code: Path


def submit(
    plan: Plan,
    *,
    run: Path,
    runs: Runs,
    base: Path,
    missing: Collection[str],
    running: Mapping[str, str],
    scripts: Mapping[str, str],
) -> Sending:
    """Send off the stages that are `missing`. `running`: those that an earlier job works on, with its id. Raises EnvironmentProblem."""
    _needs_slurm()
    alike = [ids for _, ids in groups(plan, set(missing) - running.keys())]
    chunk = _longest_array()
    limits = {ids[0]: _limits(launch_of(plan, ids[0]).array, chunk) for ids in alike}
    jobs = jobs_of(plan, alike, limits, running)
    try:
        code = freeze_code(runs.root.absolute() / "store" / "code")
        folder = new_folder(run.absolute())
        sender = _Sender(plan=plan, run=run.absolute(), runs=runs, base=base.absolute(), scripts=scripts, folder=folder, code=code)
        sending = Sending(
            folder=folder,
            launcher="slurm",
            host=platform.node(),
            user=getpass.getuser(),
            sent=round(time.time(), 3),
            base=str(sender.base),
            code=code.name,
        )
        sending.write()
    except OSError as error:
        raise cannot_write(error, run) from None
    return _sent(sender, sending, jobs)


def _limits(array: Array, chunk: int) -> Limits:
    return Limits(chunk=chunk, parallel=array.max_parallel, together=array.points_per_job)


def _sent(sender: _Sender, sending: Sending, jobs: list[NewJob]) -> Sending:
    """One after the other, each written down as soon as it has an id."""
    names: dict[str, int] = {}
    for job in jobs:
        number = names[job.name] = names.get(job.name, 0) + 1
        folder = sender.folder / (job.name if number == 1 else f"{job.name}.{number}")
        after = _dependency(job.after, sending.jobs)
        try:
            found = _send(sender, job, folder, after)
            sending = replace(sending, jobs=(*sending.jobs, found))
            sending.write()
        except (EnvironmentProblem, OSError) as error:
            # Half an experiment in the queue is nothing that anybody asked for.
            with contextlib.suppress(OSError):
                sending.cancel()
            if sending.jobs:
                subprocess.run(["scancel", *(item.id for item in sending.jobs)], capture_output=True, check=False)
            if isinstance(error, EnvironmentProblem):
                raise
            raise cannot_write(error, folder) from None
    return sending


def _dependency(after: tuple[After, ...], jobs: tuple[SentJob, ...]) -> str:
    found: dict[str, list[str]] = {}
    for item in after:
        name = item.id or jobs[item.job or 0].id
        found.setdefault(item.kind, []).append(name if item.index is None else f"{name}_{item.index}")
    return ",".join(":".join([kind, *dict.fromkeys(ids)]) for kind, ids in found.items())


def _send(sender: _Sender, job: NewJob, folder: Path, after: str) -> SentJob:
    plan, launch = sender.plan, launch_of(sender.plan, job.tasks[0][0])
    body = plan.stages[job.tasks[0][0]].body
    compute = body.compute
    folder.mkdir(parents=True)
    task = Task(
        plan=str(sender.run / "plan.json"),
        runs=str(sender.runs.root.absolute()),
        base=str(sender.base),
        stages=job.tasks,
        needs=tuple(tuple(need.stage for need in plan.stages[task[0]].needs) for task in job.tasks),
        nodes=compute.nodes,
        processes=compute.world // compute.nodes,
        requeue=launch.requeue,
    )
    task.write(folder / "task.json")
    if launch.script is not None:
        return _send_script(sender, job, folder, after)
    submitit: Any = importlib.import_module("submitit")
    executor = submitit.SlurmExecutor(folder=folder, python=python_words(launch, shlex.quote(sys.executable)))
    options = {option: True if value is None else value for option, value in options_of(body, launch)}
    executor.update_parameters(
        job_name=f"{plan.name}.{job.name}",
        nodes=compute.nodes,
        ntasks_per_node=1,
        # Without a limit of the spec that of the partition holds, and not submitit's five minutes.
        time=None,
        wckey=None,
        signal_delay_s=launch.notice,
        stderr_to_stdout=True,
        array_parallelism=launch.array.max_parallel or len(job.tasks),
        setup=_setup(sender, launch.setup),
        teardown=[_ending(folder / "task.json")],
        # submitit quotes each of them.
        srun_args=[" ".join(shlex.split(word)) if "$" not in word else _without_names(word, sender) for word in srun_words(launch)],
        additional_parameters={
            **options,
            "export": ",".join(inherited(launch)),
            "requeue" if launch.requeue else "no-requeue": True,
            **({"dependency": after, "kill-on-invalid-dep": "yes"} if after else {}),
        },
    )
    tasks = [["-m", "dllm_run.launchers.task", str(folder / "task.json"), str(index)] for index in range(len(job.tasks))]
    with _own_surroundings():
        try:
            found = executor.map_array(start, tasks)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, OSError) as error:
            raise EnvironmentProblem(f"Slurm does not take the job of stage {job.name}: {_reason(str(error))}") from None
    return SentJob(id=found[0].job_id.partition("_")[0], name=job.name, tasks=job.tasks, log=str(folder / "{id}_0_log.out"), after=after)


def _send_script(sender: _Sender, job: NewJob, folder: Path, after: str) -> SentJob:
    """A stage with a job script of the user's own: that script, as it is."""
    script = folder / "job.sbatch"
    script.write_text(script_of(sender.plan, job.name, job.tasks, sender.scripts), encoding="utf-8")
    log = folder / ("%A_%a_0_log.out" if len(job.tasks) > 1 else "%j_0_log.out")
    words = ["sbatch", "--parsable", f"--output={log}"]
    words += [f"--dependency={after}", "--kill-on-invalid-dep=yes"] if after else []
    places = {"DLLM_RUN_TREE": str(sender.run), "DLLM_RUN_RUNS": str(sender.runs.root.absolute()), "DLLM_RUN_BASE": str(sender.base)}
    with _own_surroundings():
        done = subprocess.run([*words, str(script)], env={**os.environ, **places}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EnvironmentProblem(f"Slurm does not take the job of stage {job.name}: {_reason(done.stderr)}")
    name = done.stdout.strip().partition(";")[0]
    return SentJob(id=name, name=job.name, tasks=job.tasks, log=str(folder / "{id}_0_log.out"), after=after)


def _setup(sender: _Sender, lines: tuple[str, ...]) -> list[str]:
    places = {
        "DLLM_RUN_TREE": sender.run,
        "DLLM_RUN_RUNS": sender.runs.root.absolute(),
        "DLLM_RUN_BASE": sender.base,
        # What `fetch` brought is where it was brought to; jobs have no network.
        "HF_HUB_CACHE": cache_folder().absolute(),
        "PYTHONPATH": sender.code,
    }
    exports = [f"export {name}={shlex.quote(str(path))}" for name, path in places.items()]
    # This shell must outlive what it runs, which has to save first.
    return ["trap : TERM", *exports, "set -e", *lines, "set +e"]


def _ending(task: Path) -> str:
    python = shlex.quote(sys.executable)
    return f'exec {python} -m dllm_run.launchers.after {shlex.quote(str(task))} "${{SLURM_ARRAY_TASK_ID:-0}}" "$?"'


def _without_names(word: str, sender: _Sender) -> str:
    """The words of srun with the folders in place: submitit quotes them, so that the shell would not."""
    for name, path in (("TREE", sender.run), ("RUNS", sender.runs.root.absolute()), ("BASE", sender.base)):
        word = word.replace(f"$DLLM_RUN_{name}", str(path))
    return "".join(shlex.split(word))


@contextlib.contextmanager
def _own_surroundings() -> Iterator[None]:
    """Variables of a job that this command runs in would win over what the script says."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("SBATCH_", "SLURM_")) and name != "SLURM_CONF"}
    try:
        yield
    finally:
        os.environ.update(taken)


def _needs_slurm() -> None:
    missing = [name for name in ("sbatch", "srun", "squeue", "scancel", "scontrol") if shutil.which(name) is None]
    if missing:
        raise EnvironmentProblem(
            f"{', '.join(missing)} not on PATH: this is no machine to send jobs to Slurm from; `-s launch=local` runs here"
        )


def _longest_array() -> int:
    try:
        done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise EnvironmentProblem("Slurm's controller does not answer: `scontrol ping` says more") from None
    if done.returncode != 0:
        raise EnvironmentProblem(f"Slurm's controller does not answer ({_reason(done.stderr)}): `scontrol ping` says more")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, int(found[1])) if found else _CHUNK


def _reason(text: str) -> str:
    """What Slurm says of itself, without what is around it."""
    lines = [line.partition("error: ")[2] for line in text.splitlines() if "error: " in line]
    return "; ".join(dict.fromkeys(lines)) or text.strip()
