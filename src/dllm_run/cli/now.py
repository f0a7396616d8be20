"""What a stage of a run is doing now: what its files say, and what the launcher says of its job."""

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.jobs import CANNOT_TELL, JobState
from dllm_run.specs.store import Attempt, Entry, Runs

from .found import FoundRun, FoundStage
from .stage_status import told_status

BUSY = ("running", "starting", "stopping", "queued", "requeued")
"""States from which something is still to come without anybody's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One stage."""

    stage: FoundStage
    state: str
    """`done`, `running`, `starting`, `stopping`, `queued`, `requeued`, `interrupted`, `failed`, `cancelled` or `pending`."""
    detail: str = ""
    job: str = ""
    attempts: int = 0
    lost: int = 0
    """Steps that were done again, over all attempts that are known to have lost some."""
    last: Mapping[str, Any]
    """The status of the last attempt."""

    @property
    def seconds_left(self) -> float | None:
        """At the rate of this attempt."""
        told = self.last
        if self.state != "running" or not told.get("total"):
            return None
        done, since = int(told["done"]) - int(told.get("from", 0)), float(told["updated"]) - float(told["started"])
        return (int(told["total"]) - int(told["done"])) * since / done if done > 0 and since > 0 else None

    @property
    def silent(self) -> float:
        """Seconds since anything was heard of it."""
        return time.time() - float(self.last["updated"]) if self.state == "running" and "updated" in self.last else 0.0


def look(run: FoundRun, runs: Runs, jobs: Mapping[str, JobState]) -> list[Now]:
    """Every stage. Of one that is done only its marker is looked for, of the others the last attempt's status is read."""
    return [_one(stage, runs.entry(stage.id), jobs.get(stage.id)) for stage in run.stages]


def _one(stage: FoundStage, entry: Entry, job: JobState | None) -> Now:
    if entry.done:
        return Now(stage=stage, state="done", last={})
    attempts = entry.attempts()
    last = attempts[-1].status() if attempts else {}
    state, detail = _state(last, job, attempts)
    return Now(
        stage=stage,
        state=state,
        detail=detail,
        job="" if job is None else job.job,
        attempts=len(attempts),
        lost=_lost(attempts, last),
        last=last,
    )


def _lost(attempts: list[Attempt], last: Mapping[str, Any]) -> int:
    earlier = sum(int(attempt.status().get("lost", 0)) for attempt in attempts[:-1])
    return earlier + int(last.get("lost", 0))


def _state(last: Mapping[str, Any], job: JobState | None, attempts: list[Attempt]) -> tuple[str, str]:
    told = told_status(dict(last)) if attempts else "pending"
    message = str(last.get("message", ""))
    if job is None or job.state == CANNOT_TELL:
        return told, message or ("" if job is None else job.detail)
    # An attempt of an earlier job says nothing about this one.
    mine = not job.alone or last.get("job") == f"slurm:{job.job}"
    if job.state == "queued":
        return ("requeued" if attempts and mine else "queued"), job.detail
    if job.state == "running":
        if job.alone:
            if not attempts or not mine:
                return "starting", job.detail
            return (told if told == "running" else "stopping"), job.detail
        # Its turn comes, or has come a moment ago.
        return told if attempts and told not in ("interrupted", "pending") else "queued", job.detail
    if not mine or not attempts:
        return ("pending" if job.state in ("gone", "done") else job.state), job.detail
    if told == "running" and (job.alone or last.get("host") != platform.node()):
        # Its process is gone with its job, and had no time to say so.
        return "interrupted", job.detail or "its job is gone"
    return told, message or job.detail
