"""What the store knows of the stages of a plan: done, to continue, failed, running, blocked, and why."""

from dataclasses import dataclass
from typing import Any

from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Entry, Runs

from .why import Drift, Why, names_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """One stage of a plan as the store has it."""

    id: str
    name: str
    kind: str
    status: str
    """`done`, `running`, `interrupted`, `failed` or `pending`."""
    action: str
    """What a run would do: `done`, `run`, `resume @step`, or `blocked`."""
    results: dict[str, Any] | None
    entry: Entry
    explained: Why

    @property
    def why(self) -> str:
        """The first reason in a few words; looked up when it is asked for, since a long table shows few of its stages."""
        if self.status == "done":
            return "same id, result in the store"
        found = self.explained.reasons(self.id)
        more = f", +{len(found) - 1} more" if len(found) > 1 else ""
        return found[0].text + more


def states(plan: Plan, runs: Runs, drift: Drift = lambda record: None) -> list[StageState]:
    """Every stage of a plan, in the order of execution. `drift` says how an input differs from the lock."""
    names = names_of(plan)
    why = Why(plan, runs, names, drift)
    found = []
    for stage_id, stage in plan.stages.items():
        entry = runs.entry(stage_id)
        status = why.status(stage_id)
        found.append(
            StageState(
                id=stage_id,
                name=names[stage_id],
                kind=stage.body.word,
                status=status,
                action=_action(entry, status, blocked=bool(why.blocks(stage_id))),
                results=entry.results() if entry.done else None,
                entry=entry,
                explained=why,
            )
        )
    return found


def _action(entry: Entry, status: str, *, blocked: bool) -> str:
    if status == "done":
        return "done"
    if blocked:
        return "blocked"
    checkpoints = entry.complete_checkpoints()
    return f"resume @{checkpoints[-1][0]}" if checkpoints else "run"
