"""`dllm-run cancel [RUN]`: end what was sent off of a run; stages save what they have."""

import argparse
import json
import time
from pathlib import Path

from rich.console import Console

from dllm_run.specs.disk import cannot_write
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.jobs import JobState
from dllm_run.specs.store import Runs

from .found import FoundRun, find_one
from .jobs import cancel, job_states

_PATIENCE_SECONDS = 90
"""Slurm gives a job KillWait, thirty seconds by default, between the first word and the last."""


def main(options: argparse.Namespace) -> int:
    """0 when nothing is left of it. Raises EnvironmentProblem where a launcher refuses or something lives on."""
    runs = Runs(Path(options.runs))
    run = find_one(options.run, options.set, runs)
    before = {stage: state for stage, state in job_states(run.sendings).items() if state.lives}
    try:
        problems = [problem for sending in run.sendings if (problem := cancel(sending)) is not None]
    except OSError as error:
        raise cannot_write(error, runs.root) from None
    left = _left(run) if before else {}
    names = sorted({state.job for state in before.values()})
    if options.json:
        print(
            json.dumps({"schema": "dllm-run/cancel/1", "run": run.id, "jobs": names, "left": sorted(left), "problems": problems}, indent=2)
        )
    else:
        Console(highlight=False).print(f"{run.name}/{run.id}: " + (f"{len(names)} jobs ended" if names else "nothing was running"))
    if problems or left:
        told = [f"still there: {', '.join(sorted({state.job for state in left.values()}))}"] if left else []
        raise EnvironmentProblem("; ".join([*problems, *told]))
    return 0


def _left(run: FoundRun) -> dict[str, JobState]:
    """What lives after a while of waiting for its end."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        left = {stage: state for stage, state in job_states(run.sendings).items() if state.lives}
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.5)
