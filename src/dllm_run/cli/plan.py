"""`dllm-run plan SPEC`: what would run, what is done, and why."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs

from .explained_stage import show_explained
from .specs import find
from .state import StageState, states

_MANY = 60


def main(options: argparse.Namespace) -> int:
    """Print the stages of a spec with what the store has of them. 4 if there is work to do and --detailed-exit-code asks."""
    named = find(options.spec, options.set)
    plan = named.compiled().plan
    found = states(plan, Runs(Path(options.runs)), lambda record: next(iter(named.lock.drift([record])), None))
    code = 4 if options.detailed_exit_code and any(item.status != "done" for item in found) else 0
    if options.explain is not None:
        show_explained(found, plan, options.explain, as_json=options.json)
        return code
    if options.json:
        stages = [{"id": item.id, "name": item.name, "kind": item.kind, "action": item.action, "why": item.why} for item in found]
        points = {point_id: {"name": point.name, "stages": point.stages} for point_id, point in plan.points.items()}
        print(json.dumps({"schema": "dllm-run/plan-table/1", "run": plan.run_id, "stages": stages, "points": points}, indent=2))
        return code
    Console(highlight=False).print(heading(plan), stage_table(found), sep="\n")
    return code


def heading(plan: Plan) -> str:
    """Name, run id, and how many stages the points come down to."""
    unresolved = sum(not record.resolved for record in plan.inputs.values())
    inputs = f"   {unresolved} inputs unresolved" if unresolved else ""
    points = f"   {len(plan.points)} points, {len(plan.stages)} stages" if len(plan.points) > 1 else ""
    return f"[bold]{plan.name}[/bold]   run {plan.run_id}{points}{inputs}"


def stage_table(found: list[StageState]) -> Table:
    """The stages; of very many, those that still have something to do come first."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("STAGE", "KIND", "ACTION", "WHY", "ID"):
        table.add_column(column, overflow="fold")
    shown = found if len(found) <= _MANY else sorted(found, key=lambda item: item.status == "done")[:_MANY]
    for item in shown:
        colour = {"done": "green", "blocked": "red"}.get(item.action, "yellow")
        table.add_row(item.name, item.kind, f"[{colour}]{item.action}[/{colour}]", escape(item.why), f"[dim]{item.id}[/dim]")
    if len(shown) < len(found):
        table.add_row(f"… {len(found) - len(shown)} more", "", "", "", "")
    return table
