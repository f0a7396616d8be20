"""This machine: a stage is a child process in a group of its own; the script does the same without dllm-run's display."""

import os
import signal
import subprocess
from pathlib import Path

from dllm_run.specs.plan import Plan

from .job import Job, portable_start
from .template import fill


def render(plan: Plan) -> dict[str, str]:
    """`run.sh`: every stage in order, for whoever has the compiled tree and not this tool's patience."""
    names = plan.names
    stages = [(stage_id, names[stage_id], " ".join(portable_start(stage.body.compute))) for stage_id, stage in plan.stages.items()]
    return {"run.sh": fill("run.sh", {"name": plan.name, "stages": stages})}


def submit(job: Job, log: Path) -> subprocess.Popen[bytes]:
    """Start a stage. All that it prints goes to `log`; the terminal's Ctrl-C does not reach it, `interrupt` does."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        return subprocess.Popen(job.command(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ask a stage for a checkpoint and its end; the second time it ends at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)


def cancel(process: subprocess.Popen[bytes]) -> None:
    """End a stage and everything that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
