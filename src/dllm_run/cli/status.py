"""`dllm-run status [RUN]`: what a run is doing, from its files and from its launcher; no daemon."""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dllm_run.specs.jobs import JobState
from dllm_run.specs.store import Runs

from .found import FoundRun, find_one, read_run
from .jobs import job_states
from .now import BUSY, Now, look
from .progress import clock_text, short_loss

_EVERY_SECONDS = 5.0
_MANY = 40
_SILENT_SECONDS = 600
_ORDER = ("running", "starting", "stopping", "failed", "interrupted", "requeued", "queued", "cancelled", "pending", "done")
_COLOURS = {"done": "green", "failed": "red", "cancelled": "red", "interrupted": "yellow", "running": "cyan", "starting": "cyan"}


def main(options: argparse.Namespace) -> int:
    """Print it. 0, or 1 if a stage has failed and nothing runs any more. Raises NotFound."""
    runs = Runs(Path(options.runs))
    run = find_one(options.run, options.set, runs)
    found, problem = _look(run, runs)
    console = Console(highlight=False)
    if options.json:
        print(json.dumps(_document(run, found, problem), indent=2))
    elif options.watch:
        found = _watch(run, runs, console)
    else:
        console.print(_shown(run, found, problem))
    over = not any(item.state in BUSY for item in found)
    return 1 if over and any(item.state == "failed" for item in found) else 0


def _look(run: FoundRun, runs: Runs) -> tuple[list[Now], str]:
    """Every stage, and why the launcher cannot be asked, if it cannot."""
    unfinished = {stage.id for stage in run.stages if not runs.entry(stage.id).done}
    jobs: dict[str, JobState] = job_states(run.sendings, unfinished)
    problem = next((state.detail for state in jobs.values() if state.state == "unknown"), "")
    return look(run, runs, jobs), problem


def _watch(run: FoundRun, runs: Runs, console: Console) -> list[Now]:
    """Again and again until nothing runs any more."""
    found, problem = _look(run, runs)
    with Live(_shown(run, found, problem), console=console, auto_refresh=False) as live:
        while any(item.state in BUSY for item in found):
            time.sleep(_EVERY_SECONDS)
            # Somebody may have sent it off again.
            run = read_run(run.folder)
            found, problem = _look(run, runs)
            live.update(_shown(run, found, problem), refresh=True)
    return found


def _shown(run: FoundRun, found: list[Now], problem: str) -> Group:
    counts = Counter(item.state for item in found)
    told = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    points = f"   {len(run.points)} points, {len(found)} stages" if len(run.points) > 1 else ""
    parts: list[Text | Table] = [Text.assemble((run.name, "bold"), f"   run {run.id}{points}   {told}"), _table(run, found)]
    if problem:
        parts.append(Text(f"the launcher cannot be asked ({problem}): this is what the files say", "yellow"))
    stuck = [item for item in found if item.state in ("failed", "interrupted", "cancelled")]
    if stuck and not any(item.state in BUSY for item in found):
        parts.append(Text(f"`dllm-run resume {run.id}` continues, `dllm-run logs {run.id}` shows what was printed", "dim"))
    return Group(*parts)


def _table(run: FoundRun, found: list[Now]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("STAGE", "STATE", "STEP", "LOSS", "LEFT", "RESTARTS", "JOB", ""):
        table.add_column(column, overflow="fold", no_wrap=column in ("STEP", "LOSS", "LEFT"))
    order = {state: number for number, state in enumerate(_ORDER)}
    shown = found if len(found) <= _MANY else sorted(found, key=lambda item: order[item.state])[:_MANY]
    for item in shown:
        last, left = item.last, item.seconds_left
        colour = _COLOURS.get(item.state)
        restarts = "" if item.attempts < 2 else str(item.attempts - 1) + (f" ({item.lost} steps lost)" if item.lost else "")
        table.add_row(
            escape(_name(run, item)),
            f"[{colour}]{item.state}[/{colour}]" if colour else item.state,
            f"{last['done']}/{last['total']}" if "total" in last else "",
            short_loss(float(last["loss"])) if "loss" in last else "",
            "" if left is None else clock_text(left),
            restarts,
            item.job,
            escape(_remark(item)),
        )
    if len(shown) < len(found):
        table.add_row(f"… {len(found) - len(shown)} more")
    return table


def _name(run: FoundRun, item: Now) -> str:
    """The stage's name, with its point where there are several."""
    if len(run.points) == 1:
        return item.stage.name
    more = f" +{len(item.stage.points) - 1}" if len(item.stage.points) > 1 else ""
    return f"{item.stage.name}  {item.stage.points[0]}{more}"


def _remark(item: Now) -> str:
    if item.silent > _SILENT_SECONDS:
        return f"{item.detail}, silent for {clock_text(item.silent)}"
    return item.detail


def _document(run: FoundRun, found: list[Now], problem: str) -> dict[str, object]:
    stages = {
        item.stage.id: {
            "name": item.stage.name,
            "kind": item.stage.kind,
            "points": list(item.stage.points),
            "state": item.state,
            "detail": item.detail,
            "job": item.job,
            "attempts": item.attempts,
            "lost": item.lost,
            "seconds_left": item.seconds_left,
            **{key: item.last[key] for key in ("done", "total", "unit", "loss", "updated", "host") if key in item.last},
        }
        for item in found
    }
    return {
        "schema": "dllm-run/status/1",
        "run": run.id,
        "name": run.name,
        "folder": str(run.folder),
        "problem": problem,
        "points": run.points,
        "stages": stages,
    }
