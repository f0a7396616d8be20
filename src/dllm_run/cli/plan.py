"""`dllm-run plan SPEC`: what would run, what is done, and why."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs

from .estimates import Estimates, as_json, cells, estimates, footer
from .explained_stage import show_explained
from .specs import find
from .state import StageState, states

_MANY = 60
_WIDE = 110
"""Columns of a terminal from which estimates have room beside kind and id."""


def main(options: argparse.Namespace) -> int:
    """Print the stages of a spec with what the store has of them. 4 if there is work to do and --detailed-exit-code asks."""
    named = find(options.spec, options.set)
    plan = named.compiled().plan
    found = states(plan, Runs(Path(options.runs)), lambda record: next(iter(named.lock.drift([record])), None))
    code = 4 if options.detailed_exit_code and any(item.status != "done" for item in found) else 0
    if options.explain is not None:
        show_explained(found, plan, options.explain, as_json=options.json)
        return code
    shown = found if options.json else first(found)
    sized = estimates(plan, named.base, [item.id for item in shown])
    if options.json:
        stages = [
            {
                "id": item.id,
                "name": item.name,
                "kind": item.kind,
                "action": item.action,
                "why": item.why,
                "estimate": as_json(sized[item.id]),
            }
            for item in found
        ]
        points = {point_id: {"name": point.name, "stages": point.stages} for point_id, point in plan.points.items()}
        print(json.dumps({"schema": "dllm-run/plan-table/1", "run": plan.run_id, "stages": stages, "points": points}, indent=2))
        return code
    console = Console(highlight=False)
    console.print(heading(plan), stage_table(found, sized, wide=console.width >= _WIDE), sep="\n")
    # Points that differ elsewhere say the same of their training.
    for line in dict.fromkeys(footer(plan, sized)):
        console.print(line, style="dim", markup=False)
    return code


def heading(plan: Plan) -> str:
    """Name, run id, and how many stages the points come down to."""
    unresolved = sum(not record.resolved for record in plan.inputs.values())
    inputs = f"   {unresolved} inputs unresolved" if unresolved else ""
    points = f"   {len(plan.points)} points, {len(plan.stages)} stages" if len(plan.points) > 1 else ""
    return f"[bold]{plan.name}[/bold]   run {plan.run_id}{points}{inputs}"


def first(found: list[StageState]) -> list[StageState]:
    """The stages that a table has room for: of very many, those that still have something to do."""
    return found if len(found) <= _MANY else sorted(found, key=lambda item: item.status == "done")[:_MANY]


def stage_table(found: list[StageState], sized: Estimates | None = None, *, wide: bool = True) -> Table:
    """The stages, with their estimates where there are any, and how many more there are; kind and id where it is wide."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    estimated = ("DEVICES", "MEMORY", "TIME") if sized is not None else ()
    for column in ("STAGE", "KIND", "ACTION", "WHY", *estimated, "ID"):
        if wide or column not in ("KIND", "ID"):
            table.add_column(column, overflow="fold", no_wrap=column in estimated)
    shown = first(found)
    for item in shown:
        colour = {"done": "green", "blocked": "red"}.get(item.action, "yellow")
        action = f"[{colour}]{item.action}[/{colour}]"
        middle = (action, escape(item.why), *(cells(sized[item.id]) if sized is not None else ()))
        table.add_row(*((item.name, item.kind, *middle, f"[dim]{item.id}[/dim]") if wide else (item.name, *middle)))
    if len(shown) < len(found):
        table.add_row(f"… {len(found) - len(shown)} more")
    return table
