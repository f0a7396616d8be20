"""`dllm-run run SPEC`: stages on this machine, each a child process, with what they tell on the screen."""

import argparse
import json
import os
from pathlib import Path

from rich.console import Console

from dllm_run.launchers import local
from dllm_run.specs.disk import cannot_write
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.launchers.local import Local
from dllm_run.specs.vocabulary.spec import Compare

from .at_hand import at_hand
from .display import Display
from .fetch import write_lock
from .plan import heading, stage_table
from .rundir import prepare
from .running import INTERRUPTED, Runner
from .show import document, print_results
from .specs import find
from .state import states
from .submit import submit
from .tree import tree


def main(options: argparse.Namespace) -> int:
    """Run what is not done yet. 0 done, 1 a stage failed, 6 something is missing here, 130 interrupted."""
    named = find(options.spec, options.set)
    runs = Runs(Path(options.runs))
    console = Console(highlight=False, stderr=options.json)
    compiled = at_hand(named, runs, console, quiet=options.quiet)
    if not compiled.spec.launch.watched and options.short:
        return submit(named, compiled, runs, as_json=options.json)
    if not compiled.spec.launch.watched:
        text = f"launch is {compiled.spec.launch.word}: `dllm-run submit` sends it off, `-s launch=local` runs it here"
        raise EnvironmentProblem(text)
    plan = compiled.plan
    try:
        folder = prepare(tree(named, compiled), plan, runs)
    except OSError as error:
        raise cannot_write(error, options.runs) from None
    if plan.inputs:
        write_lock(named, plan, [])
    at_once = compiled.spec.launch.max_parallel if isinstance(compiled.spec.launch, Local) else 1
    compare = compiled.spec.compare
    return carry_out(console, plan, folder, runs, named.base, at_once, compare, quiet=options.quiet, as_json=options.json)


def carry_out(
    console: Console,
    plan: Plan,
    folder: Path,
    runs: Runs,
    base: Path,
    at_once: int,
    compare: Compare | None,
    *,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run what is not done of a plan whose folder is there; the exit code."""
    before = states(plan, runs)
    console.print(heading(plan), stage_table(before), sep="\n")
    missing = [item.id for item in before if item.status != "done"]
    try:
        if missing:
            local.here(folder, missing, base)
    except OSError as error:
        raise cannot_write(error, folder) from None
    with Display(console, animate=not quiet and at_once == 1) as display:
        runner = Runner(plan, folder, runs, base, console, display, quiet=quiet, at_once=at_once)
        code = runner.run()
    if as_json:
        print(json.dumps(document(plan, runs, compare), indent=2, ensure_ascii=False))
        return code
    if code == INTERRUPTED:
        console.print("interrupted: the same command continues")
    if code == 0:
        _conclude(console, plan, runs, folder, compare, ran=runner.ran)
    return code


def _conclude(console: Console, plan: Plan, runs: Runs, folder: Path, compare: Compare | None, *, ran: list[str]) -> None:
    print_results(console, plan, states(plan, runs), compare, apart=ran)
    if not ran:
        console.print("every stage is done: nothing to run")
    console.print(f"[dim]{os.path.relpath(folder)}[/dim]")
