"""`dllm-run resume [RUN]`: continue a run from its own frozen plan, where it was started: here, or at the launcher."""

import argparse
import os
import platform
from pathlib import Path

from rich.console import Console

from dllm_run.specs.errors import EnvironmentProblem, NotFound
from dllm_run.specs.jobs import JobState
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.launchers.local import Local
from dllm_run.specs.vocabulary.launchers.slurm import Slurm

from .comparing import compare_of
from .found import FoundRun, find_one
from .jobs import living
from .run import carry_out
from .submit import send


def main(options: argparse.Namespace) -> int:
    """The exit code of `run`, or of `submit`. Raises NotFound, and EnvironmentProblem where it runs already."""
    runs = Runs(Path(options.runs))
    run = find_one(options.run, options.set, runs)
    plan = Plan.load(run.folder / "plan.json")
    base = _base(run)
    missing = [stage_id for stage_id in plan.stages if not runs.entry(stage_id).done]
    if any(isinstance(plan.stages[stage_id].body.launch, Slurm) for stage_id in missing):
        return send(plan, run.folder, runs, base, _scripts(plan, run.folder), as_json=options.json)
    busy = {state.job: state for state in living(runs, missing).values() if not _mine(state)}
    if busy:
        told = ", ".join(f"{state.job} ({state.detail})" for state in busy.values())
        raise EnvironmentProblem(f"this run goes on already: process {told}; `dllm-run cancel {run.id}` ends it")
    launches = [plan.stages[stage_id].body.launch for stage_id in missing]
    at_once = max((launch.max_parallel for launch in launches if isinstance(launch, Local)), default=1)
    console = Console(highlight=False, stderr=options.json)
    compare = compare_of(run.folder)
    return carry_out(console, plan, run.folder, runs, base, at_once, compare, quiet=options.quiet, as_json=options.json)


def _mine(state: JobState) -> bool:
    """Whether it is this very process, which `submit` has sent into the background."""
    return state.job == str(os.getpid()) and state.detail == platform.node()


def _base(run: FoundRun) -> Path:
    """Where relative paths start, as the last start of this run says."""
    if not run.sendings:
        raise NotFound(f"{run.folder} was compiled and never started: `dllm-run run SPEC` or `dllm-run submit SPEC` starts it")
    return Path(run.sendings[-1].base)


def _scripts(plan: Plan, folder: Path) -> dict[str, str]:
    """Templates of job scripts, as they were when the run was compiled."""
    found = {}
    for stage in plan.stages.values():
        launch = stage.body.launch
        if isinstance(launch, Slurm) and launch.script is not None:
            ((name, sha256),) = plan.inputs[launch.script].files.items()
            found[launch.script] = (folder / "inputs" / sha256[:8] / name).read_text(encoding="utf-8")
    return found
