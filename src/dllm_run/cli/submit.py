"""`dllm-run submit SPEC`: what is missing of a spec, sent off as its launch says. Returns at once; `status` tells how it goes."""

import argparse
import json
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers import local, slurm
from dllm_run.specs.disk import cannot_write, hindrance
from dllm_run.specs.jobs import Sending
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.launchers.slurm import Slurm

from .at_hand import at_hand
from .fetch import write_lock
from .jobs import living
from .plan import heading
from .rundir import prepare
from .scripts import texts_of
from .specs import Named, find
from .tree import tree


def main(options: argparse.Namespace) -> int:
    """0: sent off, or nothing to do. Raises EnvironmentProblem where something is missing here, or the launcher refuses."""
    named = find(options.spec, options.set)
    runs = Runs(Path(options.runs))
    console = Console(highlight=False, stderr=True)
    return submit(named, at_hand(named, runs, console, quiet=options.json), runs, as_json=options.json)


def submit(named: Named, compiled: Compiled, runs: Runs, *, as_json: bool) -> int:
    """Send off a compiled spec whose inputs are here."""
    plan = compiled.plan
    try:
        folder = prepare(tree(named, compiled), plan, runs)
    except OSError as error:
        raise cannot_write(error, runs.root) from None
    if plan.inputs:
        write_lock(named, plan, [])
    return send(plan, folder, runs, named.base, texts_of(compiled.scripts), as_json=as_json)


def send(plan: Plan, folder: Path, runs: Runs, base: Path, scripts: Mapping[str, str], *, as_json: bool) -> int:
    """Send off what is missing of a plan whose folder is there, and say what that was."""
    missing = [stage_id for stage_id in plan.stages if not runs.entry(stage_id).done]
    running = {stage_id: state.job for stage_id, state in living(runs, missing).items()}
    rest = [stage_id for stage_id in missing if stage_id not in running]
    for stage_id in rest:
        problem = hindrance(runs.entry(stage_id).path)
        if problem is not None:
            raise problem
    sending = _sent(plan, folder, runs, base, scripts, rest, running) if rest else None
    if as_json:
        print(json.dumps(_document(plan, sending, running), indent=2))
        return 0
    console = Console(highlight=False)
    console.print(heading(plan))
    if sending is not None:
        console.print(_table(sending, runs))
    if running:
        console.print(f"{len(running)} stages are worked on already: {', '.join(sorted(set(running.values()))[:5])}")
    if not missing:
        console.print("every stage is done: nothing to send")
    else:
        shown = os.path.relpath(folder)
        console.print(f"[dim]{shown}[/dim]   `dllm-run status {plan.run_id}`, `logs`, `cancel`")
    return 0


def _sent(
    plan: Plan,
    folder: Path,
    runs: Runs,
    base: Path,
    scripts: Mapping[str, str],
    missing: Collection[str],
    running: Mapping[str, str],
) -> Sending:
    launches = [plan.stages[stage_id].body.launch for stage_id in missing]
    if any(isinstance(launch, Slurm) for launch in launches):
        return slurm.submit(plan, run=folder, runs=runs, base=base, missing=missing, running=running, scripts=scripts)
    words = [sys.executable, "-m", "dllm_run.cli.main", "resume", str(folder), "--runs", str(runs.root)]
    try:
        return local.submit(words, run=folder, stages=tuple(missing), base=base)
    except OSError as error:
        raise cannot_write(error, folder) from None


def _table(sending: Sending, runs: Runs) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("STAGE", "JOB", "STAGES", "AFTER"):
        table.add_column(column)
    for job in sending.jobs:
        table.add_row(job.name or "all", job.id.partition("@")[0], str(len(job.stages)), job.after or "-")
    return table


def _document(plan: Plan, sending: Sending | None, running: Mapping[str, str]) -> dict[str, object]:
    jobs = [] if sending is None else [job.to_json() for job in sending.jobs]
    return {"schema": "dllm-run/submit/1", "run": plan.run_id, "jobs": jobs, "running": dict(running)}
