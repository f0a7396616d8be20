"""`python -m dllm_run.launchers.after TASK INDEX CODE`: how a job ends: done, back to the queue, or failed for good.

It runs on the first node, outside of any container, when everything else of the job has ended.
"""

import argparse
import sys
import time
from pathlib import Path

from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.jobs import CANCELLED
from dllm_run.specs.store import Entry

from .ranks import INTERRUPTED, PREEMPTED
from .task import Task, job_id, requeue, told
from .tries import hopeless

_PATIENCE_SECONDS = 120
"""How long Slurm gets to end a job that it has told to stop: grace times are shorter."""


def main() -> int:
    """The exit code of the job."""
    parser = argparse.ArgumentParser(prog="python -m dllm_run.launchers.after", description=__doc__)
    parser.add_argument("task")
    parser.add_argument("index", type=int)
    parser.add_argument("code", type=int)
    arguments = parser.parse_args()
    try:
        task = Task.load(Path(arguments.task))
    except EnvironmentProblem as error:
        print(f"dllm-run: {error}", file=sys.stderr)
        return error.exit_code
    cancelled = Path(arguments.task).parents[1] / CANCELLED
    left = [entry for entry in task.entries(arguments.index) if not entry.done]
    return _unfinished(task, left, arguments.code, cancelled) if left else 0


def _unfinished(task: Task, left: list[Entry], code: int, cancelled: Path) -> int:
    """`left`: stages of the job without a result."""
    job = job_id()
    found = {entry: told(entry, job) for entry in left}
    if cancelled.exists():
        return INTERRUPTED
    if any(status.get("state") == "interrupted" and status.get("signal") != "SIGUSR2" for status in found.values()):
        return _wait()
    # Without an attempt nothing has begun, and nothing will the next time; a failure that was told is one of the spec.
    again = {entry: status for entry, status in found.items() if task.requeue and status and not status.get("told")}
    for entry in list(again):
        end = hopeless(entry, job)
        if end is not None:
            print(f"dllm-run: {end}", file=sys.stderr)
            del again[entry]
    if not again:
        return code or 1
    status = next(iter(again.values()))
    print(f"dllm-run: back to the queue after {status.get('state')} at step {status.get('done', status.get('from', 0))}", file=sys.stderr)
    problem = requeue(job)
    if problem is not None:
        print(f"dllm-run: this job cannot go back to the queue ({problem}): `dllm-run resume` sends it again", file=sys.stderr)
        return PREEMPTED
    return _wait()


def _wait() -> int:
    """Slurm decides: it has told the job to stop, or was told to queue it again, and ends this process in a moment."""
    time.sleep(_PATIENCE_SECONDS)
    return PREEMPTED


if __name__ == "__main__":
    sys.exit(main())
