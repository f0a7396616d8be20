"""This machine: a stage is a child process in a group of its own; the script does the same without dllm-run's display."""

import getpass
import os
import platform
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from dllm_run.specs.environment import LEASH
from dllm_run.specs.jobs import JobState, Sending, SentJob, new_folder
from dllm_run.specs.leash import running_mark, runs_still
from dllm_run.specs.plan import Plan

from .job import portable_start
from .template import fill

_GRACE_SECONDS = 60
"""How long a run gets to save before it is ended."""


def render(plan: Plan) -> dict[str, str]:
    """`run.sh`: every stage in order, for whoever has the compiled tree and not this tool's patience."""
    names = plan.names
    stages = [(stage_id, names[stage_id], " ".join(portable_start(stage.body.compute))) for stage_id, stage in plan.stages.items()]
    return {"run.sh": fill("run.sh", {"name": plan.name, "stages": stages})}


def start(words: Sequence[str], log: Path, devices: Sequence[str] | None = None) -> subprocess.Popen[bytes]:
    """Start a stage by its command line; `devices`: the GPUs that it may see. All that it prints goes to `log`.

    The terminal's Ctrl-C does not reach it, `interrupt` does; when this process is killed, it saves and stops.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    given = {} if devices is None else {"CUDA_VISIBLE_DEVICES": ",".join(devices)}
    with log.open("wb") as stream:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, LEASH: "1", **given},
        )


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ask a stage for a checkpoint and its end; the second time it ends at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a stage and everything that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def here(run: Path, stages: Sequence[str], base: Path) -> Sending:
    """Write down that this process works on a run. Raises OSError where it cannot be written."""
    return _noted(new_folder(run), os.getpid(), stages, base, "")


def submit(words: Sequence[str], *, run: Path, stages: Sequence[str], base: Path) -> Sending:
    """Start a run that goes on without the terminal: `words` is its command line. Raises OSError where nothing can be written."""
    folder = new_folder(run)
    log = folder / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)
    return _noted(folder, process.pid, stages, base, str(log))


def _noted(folder: Path, pid: int, stages: Sequence[str], base: Path, log: str) -> Sending:
    sending = Sending(
        folder=folder,
        launcher="local",
        host=platform.node(),
        user=getpass.getuser(),
        sent=round(time.time(), 3),
        base=str(base.absolute()),
        jobs=(SentJob(id=f"{pid}@{running_mark(pid)}", name="", tasks=(tuple(stages),), log=log),),
    )
    sending.write()
    return sending


def state(jobs: Iterable[SentJob], host: str) -> dict[str, JobState]:
    """Whether the process of each stage is there; of another machine's nobody can tell."""
    found = {}
    for job in jobs:
        number, _, mark = job.id.partition("@")
        if host != platform.node():
            now = JobState(state="unknown", job=number, detail=f"on {host}", alone=False)
        else:
            now = JobState(state="running" if runs_still(int(number), mark) else "gone", job=number, detail=host, alone=False)
        found.update(dict.fromkeys(job.stages, now))
    return found


def cancel(jobs: Iterable[SentJob], host: str) -> str | None:
    """Have each run save and stop, and end it where it does not; what went wrong, or None."""
    for job in jobs:
        number, _, mark = job.id.partition("@")
        pid = int(number)
        if host != platform.node():
            return f"process {pid} is on {host}: cancel it there"
        if not _stopped(pid, mark):
            return f"process {pid} is another user's"
    return None


def _stopped(pid: int, mark: str) -> bool:
    """Ended, or asked to; the process is looked at again before each signal, since its number may be another's by now."""
    until = time.monotonic() + _GRACE_SECONDS
    try:
        if runs_still(pid, mark):
            os.kill(pid, signal.SIGTERM)
        while runs_still(pid, mark) and time.monotonic() < until:
            time.sleep(0.05)
        if runs_still(pid, mark):
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True
