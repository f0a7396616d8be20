"""`dllm-run show [RUN]`: results of a run."""

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from dllm_run.specs.errors import NotFound
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.spec import Compare

from .comparing import FEW, compare_of, comparison_of, comparison_tables, overview_tables
from .comparison import as_json
from .plan import heading, stage_table
from .results import result_table
from .specs import RECIPE, find
from .state import StageState, states


def main(options: argparse.Namespace) -> int:
    """Print stages and result tables of a run. Raises NotFound."""
    runs = Runs(Path(options.runs))
    plan, compare = _found(options.run, options.set, runs)
    if options.json:
        print(json.dumps(document(plan, runs, compare), indent=2, ensure_ascii=False))
        return 0
    console = Console(highlight=False)
    found = states(plan, runs)
    console.print(heading(plan), stage_table(found), sep="\n")
    print_results(console, plan, found, compare)
    return 0


def print_results(console: Console, plan: Plan, found: list[StageState], compare: Compare | None, *, apart: Collection[str] = ()) -> None:
    """The results of a run: each in a table of its own, or the points of a sweep in one. `apart` are stages that were shown already."""
    if len(plan.points) <= FEW and compare is None:
        for state in found:
            for title, task in ((state.results or {}).get("tasks") or {}).items():
                if state.id not in apart:
                    table = result_table(task["table"], console.color_system is not None)
                    console.print(f"\n[bold]{state.name}: {title}[/bold]", table, sep="\n")
        return
    tables = overview_tables(plan, found) if compare is None else comparison_tables(comparison_of(plan, found, compare), compare)
    for title, table, notes in tables:
        console.print(f"\n[bold]{escape(title)}[/bold]", table, sep="\n")
        for note in notes:
            console.print(note, style="dim", markup=False)


def document(plan: Plan, runs: Runs, compare: Compare | None = None) -> dict[str, Any]:
    """The JSON form of a run."""
    found = states(plan, runs)
    by_id = {state.id: state for state in found}
    points: dict[str, Any] = {}
    for point_id, point in plan.points.items():
        stages = {
            name: {"id": stage_id, "kind": by_id[stage_id].kind, "status": by_id[stage_id].status, "results": by_id[stage_id].results}
            for name, stage_id in point.stages.items()
        }
        points[point_id] = {"name": point.name, "stages": stages}
    more = {} if compare is None else {"comparison": as_json(compare, comparison_of(plan, found, compare))}
    return {"schema": "dllm-run/show/1", "points": points, **more}


def _found(run: str | None, flags: list[str], runs: Runs) -> tuple[Plan, Compare | None]:
    if run is not None and (run.startswith(RECIPE) or run.endswith((".yaml", ".yml"))):
        compiled = find(run, flags).compiled()
        return compiled.plan, compiled.spec.compare
    known = runs.all_runs()
    if run is None and known:
        return _read(known[-1])
    matching = [path for path in known if run is not None and (path.name.startswith(run) or path.parent.name == run or path == Path(run))]
    if not matching:
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in known[-5:])
        raise NotFound(f"there is no run {run or 'yet'} under {runs.root}" + (f"; the last ones: {names}" if names else ""))
    return _read(matching[-1])


def _read(folder: Path) -> tuple[Plan, Compare | None]:
    return Plan.load(folder / "plan.json"), compare_of(folder)
