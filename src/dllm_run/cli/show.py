"""`dllm-run show [RUN]`: results of a run."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from dllm_run.specs.errors import NotFound
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs

from .plan import heading, stage_table
from .results import result_table
from .specs import RECIPE, find
from .state import states


def main(options: argparse.Namespace) -> int:
    """Print stages and result tables of a run. Raises NotFound."""
    runs = Runs(Path(options.runs))
    plan = _plan(options.run, options.set, runs)
    if options.json:
        print(json.dumps(document(plan, runs), indent=2, ensure_ascii=False))
        return 0
    console = Console(highlight=False)
    found = states(plan, runs)
    console.print(heading(plan), stage_table(found), sep="\n")
    for state in found:
        for title, task in ((state.results or {}).get("tasks") or {}).items():
            console.print(f"\n[bold]{state.name}: {title}[/bold]", result_table(task["table"], console.color_system is not None), sep="\n")
    return 0


def document(plan: Plan, runs: Runs) -> dict[str, Any]:
    """The JSON form of a run."""
    by_id = {state.id: state for state in states(plan, runs)}
    points: dict[str, Any] = {}
    for point_id, point in plan.points.items():
        stages = {
            name: {"id": stage_id, "kind": by_id[stage_id].kind, "status": by_id[stage_id].status, "results": by_id[stage_id].results}
            for name, stage_id in point.stages.items()
        }
        points[point_id] = {"name": point.name, "stages": stages}
    return {"schema": "dllm-run/show/1", "points": points}


def _plan(run: str | None, flags: list[str], runs: Runs) -> Plan:
    if run is not None and (run.startswith(RECIPE) or run.endswith((".yaml", ".yml"))):
        return find(run, flags).compiled().plan
    known = runs.all_runs()
    if run is None and known:
        return _read(known[-1])
    matching = [path for path in known if run is not None and (path.name.startswith(run) or path.parent.name == run or path == Path(run))]
    if not matching:
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in known[-5:])
        raise NotFound(f"there is no run {run or 'yet'} under {runs.root}" + (f"; the last ones: {names}" if names else ""))
    return _read(matching[-1])


def _read(folder: Path) -> Plan:
    return Plan.load(folder / "plan.json")
