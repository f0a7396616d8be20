"""What Slurm says of jobs: `squeue` for those that live, `sacct` for those that ended where there is accounting, else what files say."""

import subprocess
from collections.abc import Iterable, Mapping

from dllm_run.specs.jobs import CANNOT_TELL, JobState, SentJob

_SECONDS = 60
_QUEUED = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}


def state(jobs: Iterable[SentJob]) -> dict[str, JobState]:
    """The state of each job by its id, of arrays one by one; two calls of Slurm's commands, however many jobs there are."""
    known = list(jobs)
    if not known:
        return {}
    ids = [job.id for job in known]
    problem, living = _squeue(ids)
    if problem is not None:
        return {name: JobState(state=CANNOT_TELL, job=name, detail=problem) for name in _names(known)}
    ended = _sacct([job.id for job in known if not all(job.id_of(index) in living for index in range(len(job.tasks)))])
    return {name: living.get(name) or ended.get(name) or JobState(state="gone", job=name) for name in _names(known)}


def cancel(jobs: Iterable[SentJob]) -> str | None:
    """End these jobs, and whatever waits for them; what went wrong, or None."""
    ids = [job.id for job in jobs]
    if not ids:
        return None
    try:
        done = subprocess.run(["scancel", *ids], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"scancel: {error}"
    # Jobs that ended long ago are no longer known.
    wrong = [line for line in done.stderr.splitlines() if line.strip() and "Invalid job id" not in line]
    return "; ".join(wrong) or None


def _names(jobs: Iterable[SentJob]) -> list[str]:
    return [job.id_of(index) for job in jobs for index in range(len(job.tasks))]


def _squeue(ids: list[str]) -> tuple[str | None, Mapping[str, JobState]]:
    """What keeps Slurm from answering, and the jobs that it still has. Arrays come one line each."""
    try:
        words = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N|%V", f"--jobs={','.join(ids)}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        return "squeue is not on this machine", {}
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"squeue: {error}", {}
    if done.returncode != 0 and "Invalid job id" not in done.stderr:
        return f"squeue: {done.stderr.strip() or done.returncode}", {}
    found = {}
    for line in done.stdout.splitlines():
        name, told, reason, nodes = line.split("|")[:4]
        found[name] = JobState(state=_state(told), job=name, detail=nodes if _state(told) == "running" else _detail(told, reason))
    return None, found


def _sacct(ids: list[str]) -> Mapping[str, JobState]:
    """How jobs ended that squeue has forgotten; nothing where there is no accounting."""
    if not ids:
        return {}
    words = ["sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,State,ExitCode", f"--jobs={','.join(ids)}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        name, told, code = line.split("|")[:3]
        # It may say RUNNING some time after the end: squeue would know a job that lives.
        if _state(told) not in ("queued", "running"):
            found[name] = JobState(state=_state(told), job=name, detail=f"{told}, exit code {code}")
    return found


def _state(told: str) -> str:
    word = told.split()[0]  # `CANCELLED by 0`
    if word in _QUEUED:
        return "queued"
    if word == "COMPLETED":
        return "done"
    if word in ("CANCELLED", "REVOKED"):
        return "cancelled"
    ended = {"FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED"}
    return "failed" if word in ended else "running"


def _detail(told: str, reason: str) -> str:
    return reason if _state(told) == "queued" and reason != "None" else told
