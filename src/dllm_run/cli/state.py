"""What the store knows of the stages of a plan: done, to continue, failed, running, and why."""

import os
import platform
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Entry, Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """One stage of a plan as the store has it."""

    id: str
    name: str
    kind: str
    status: str
    """`done`, `running`, `interrupted`, `failed` or `pending`."""
    action: str
    """What a run would do: `done`, `run`, or `resume @step`."""
    why: str
    results: dict[str, Any] | None


def states(plan: Plan, runs: Runs) -> list[StageState]:
    """Every stage of a plan, in the order of execution."""
    found: dict[str, StageState] = {}
    for stage_id, stage in plan.stages.items():
        entry = runs.entry(stage_id)
        waiting = [found[need.stage].name for need in stage.needs if found[need.stage].status != "done"]
        status = _status(entry)
        action, why = _action(entry, status, waiting)
        found[stage_id] = StageState(
            id=stage_id,
            name=plan.name_of(stage_id),
            kind=stage.body.word,
            status=status,
            action=action,
            why=why,
            results=entry.results() if entry.done else None,
        )
    return list(found.values())


def _status(entry: Entry) -> str:
    if entry.done:
        return "done"
    attempts = entry.attempts()
    if not attempts:
        return "pending"
    last = attempts[-1].status()
    state = str(last.get("state", "pending"))
    if state == "running" and last.get("host") == platform.node() and not _alive(int(last.get("pid", 0))):
        return "interrupted"
    return state


def _action(entry: Entry, status: str, waiting: list[str]) -> tuple[str, str]:
    if status == "done":
        return "done", "same id, result in the store"
    checkpoints = entry.complete_checkpoints()
    if checkpoints:
        return f"resume @{checkpoints[-1][0]}", f"{status} after {len(entry.attempts())} attempts" if status != "pending" else ""
    if waiting:
        return "run", f"needs {', '.join(waiting)}"
    return "run", {"pending": "no result yet", "failed": "the last attempt failed"}.get(status, f"the last attempt is {status}")


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
