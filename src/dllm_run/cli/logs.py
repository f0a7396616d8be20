"""`dllm-run logs [RUN] [STAGE]`: what a stage printed in its last attempt, or what its job did."""

import argparse
import json
import sys
import time
from pathlib import Path

from dllm_run.specs.errors import NotFound
from dllm_run.specs.store import Runs

from .found import FoundRun, FoundStage, find_one
from .jobs import job_states
from .now import BUSY, Now, look

_POLL_SECONDS = 0.5
_FIRST = ("failed", "running", "interrupted", "starting", "requeued", "cancelled", "done")


def main(options: argparse.Namespace) -> int:
    """Print a log. Raises NotFound where there is none."""
    runs = Runs(Path(options.runs))
    run, stage = _which(options, runs)
    path = _job_log(run, stage) if options.job else _log(runs, run, stage, options.rank)
    if path is None or not path.is_file():
        raise NotFound(f"stage {stage.name} ({stage.id}) has printed nothing yet" + ("" if path is None else f": there is no {path}"))
    text = path.read_text(encoding="utf-8", errors="replace")
    if options.json:
        print(json.dumps({"schema": "dllm-run/logs/1", "stage": stage.id, "file": str(path), "text": text}, indent=2))
        return 0
    lines = text.splitlines(keepends=True)
    print(f"==> {path}", file=sys.stderr)
    sys.stdout.write("".join(lines[-options.lines :] if options.lines else lines))
    sys.stdout.flush()
    if options.follow:
        _follow(run, stage, runs, path, path.stat().st_size)
    return 0


def _which(options: argparse.Namespace, runs: Runs) -> tuple[FoundRun, FoundStage]:
    """`logs STAGE` means the last run, unless there is a run of that name."""
    if options.stage is None and options.run is not None:
        try:
            run = find_one(options.run, options.set, runs)
        except NotFound:
            run = find_one(None, [], runs)
            return run, run.stage(options.run)
    else:
        run = find_one(options.run, options.set, runs)
    return run, run.stage(options.stage) if options.stage is not None else _telling(run, runs)


def _telling(run: FoundRun, runs: Runs) -> FoundStage:
    """The stage that somebody wants to read about: one that failed, one that runs, the last one that did anything."""
    found = [item for item in _now(run, runs) if item.attempts or item.state == "done"]
    for state in _FIRST:
        matching = [item for item in found if item.state == state]
        if matching:
            return matching[-1].stage
    if found:
        return found[-1].stage
    raise NotFound(f"no stage of {run.name}/{run.id} has begun")


def _now(run: FoundRun, runs: Runs) -> list[Now]:
    return look(run, runs, job_states(run.sendings))


def _log(runs: Runs, run: FoundRun, stage: FoundStage, rank: int) -> Path | None:
    attempts = runs.entry(stage.id).attempts()
    if attempts:
        return attempts[-1].log_of(rank)
    # What never came to an attempt has printed into the log of its job.
    return _job_log(run, stage)


def _job_log(run: FoundRun, stage: FoundStage) -> Path | None:
    for sending in reversed(run.sendings):
        for job in sending.jobs:
            if stage.id in job.stages and job.log:
                return job.log_of(stage.id)
    return None


def _follow(run: FoundRun, stage: FoundStage, runs: Runs, path: Path, offset: int) -> None:
    """Print what comes, until the stage is over; where another attempt begins, go on with that one's."""
    while True:
        with path.open("rb") as stream:
            stream.seek(offset)
            fresh = stream.read()
        offset += len(fresh)
        sys.stdout.buffer.write(fresh)
        sys.stdout.flush()
        newest = runs.entry(stage.id).attempts()
        if newest and newest[-1].log.is_file() and path.parent.parent == newest[-1].path.parent and path.parent != newest[-1].path:
            path, offset = newest[-1].path / path.name, 0
            print(f"==> {path}", file=sys.stderr)
            continue
        if not fresh and not any(item.stage.id == stage.id and item.state in BUSY for item in _now(run, runs)):
            return
        time.sleep(_POLL_SECONDS)
