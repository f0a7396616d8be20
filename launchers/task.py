"""`python -m dllm_run.launchers.task TASK INDEX`: what a job of a cluster runs on each of its nodes: stages, as a file says."""

import argparse
import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm_run.specs.canonical import pretty
from dllm_run.specs.environment import JOB
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.store import Entry, Runs, read_json, write_atomic

from .nodes import node_names
from .ranks import STOPPED, Ranks, Where
from .tries import hopeless

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals that ask a stage to save and stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the jobs of an array have in common, as it lies in a file."""

    plan: str
    runs: str
    base: str
    stages: tuple[tuple[str, ...], ...]
    """Of each job, one after the other."""
    needs: tuple[tuple[str, ...], ...]
    """What those of each job must have in the store before they can begin."""
    nodes: int
    processes: int
    """On each node."""
    requeue: bool

    def write(self, path: Path) -> None:
        """Write it down. Raises OSError where it cannot be written."""
        names = ("plan", "runs", "base", "stages", "needs", "nodes", "processes", "requeue")
        write_atomic(path, pretty({name: getattr(self, name) for name in names}))

    @classmethod
    def load(cls, path: Path) -> "Task":
        """Read it back. Raises EnvironmentProblem where it cannot be read."""
        data = read_json(path)
        if data is None:
            raise EnvironmentProblem(f"{path} cannot be read on {platform.node()}: is the folder of the runs on a disk that all nodes see?")
        return cls(**{**data, **{name: tuple(tuple(ids) for ids in data[name]) for name in ("stages", "needs")}})

    def entries(self, index: int) -> list[Entry]:
        """The places in the store of what one job does."""
        return [Runs(Path(self.runs)).entry(stage) for stage in self.stages[index]]


def start(words: list[str]) -> None:
    """What submitit pickles: become another program, and leave no window in which a signal would be lost."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    os.execv(sys.executable, [sys.executable, *words])


def main() -> int:
    """0: done, or stopped as asked for; else the exit code of what failed."""
    parser = argparse.ArgumentParser(prog="python -m dllm_run.launchers.task", description=__doc__)
    parser.add_argument("task")
    parser.add_argument("index", type=int)
    arguments = parser.parse_args()
    try:
        task = Task.load(Path(arguments.task))
        where, job = _where(task), job_id()
    except EnvironmentProblem as error:
        print(f"dllm-run: {error}", file=sys.stderr)
        return error.exit_code
    os.environ[JOB] = job
    worst = 0
    for entry in task.entries(arguments.index):
        code = _one(task, arguments.index, entry, where, job)
        if code in STOPPED:
            # Another node may still be busy with the end of its own, and srun ends all when one has failed.
            return 0
        worst = worst or code
        if code != 0 and where.nodes > 1:
            break  # nodes must not part ways
    return worst


def _one(task: Task, index: int, entry: Entry, where: Where, job: str) -> int:
    """One stage; its exit code. Signals that come before it has begun reach it, and those after its end the next one."""
    refusal = _refusal(task, index, entry, job) if where.node == 0 else None
    if refusal is not None:
        print(f"dllm-run: {refusal}", file=sys.stderr)
        return 1
    if entry.done and where.nodes == 1:
        return 0
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    ranks = Ranks(plan=task.plan, stage=entry.path.name, runs=task.runs, base=task.base, where=where)
    for number in ASKING:
        signal.signal(number, ranks.forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
    code = ranks.run()
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    return code


def job_id() -> str:
    """The job that this process belongs to, as `squeue` names it."""
    given = os.environ
    array = given.get("SLURM_ARRAY_JOB_ID")
    return f"slurm:{array}_{given['SLURM_ARRAY_TASK_ID']}" if array else f"slurm:{given['SLURM_JOB_ID']}"


def _where(task: Task) -> Where:
    """This node among those of the job: all meet at the first of the list."""
    if task.nodes == 1:
        return Where(processes=task.processes)
    given = os.environ
    port = 20000 + int(given["SLURM_JOB_ID"]) % 10000
    first = node_names(given["SLURM_JOB_NODELIST"])[0]
    return Where(processes=task.processes, nodes=task.nodes, node=int(given["SLURM_NODEID"]), address=first, port=port)


def _refusal(task: Task, index: int, entry: Entry, job: str) -> str | None:
    """Why this stage is not even begun."""
    if entry.done:
        return None
    runs = Runs(Path(task.runs))
    missing = [need for need in task.needs[index] if not runs.entry(need).done]
    if missing:
        return f"this stage needs the result of {', '.join(missing)}, which ended without one"
    last = told(entry, job)
    # Of several in one job another one has brought it back to the queue; a job of one stage goes there by somebody who has mended it.
    again = len(task.stages[index]) > 1 and last.get("told")
    return str(last["message"]) if again else hopeless(entry, job)


def requeue(job: str) -> str | None:
    """Send the job that this process belongs to back to the queue; what went wrong, or None."""
    try:
        done = subprocess.run(["scontrol", "requeue", job.removeprefix("slurm:")], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    # Slurm may have been faster: a job that it pre-empted is queued already.
    return None if done.returncode == 0 or "pending" in done.stderr.lower() else done.stderr.strip()


def told(entry: Entry, job: str) -> dict[str, Any]:
    """The status of the last attempt of this job; empty where it came to none."""
    mine = [attempt.status() for attempt in entry.attempts() if attempt.status().get("job") == job]
    return mine[-1] if mine else {}


if __name__ == "__main__":
    sys.exit(main())
