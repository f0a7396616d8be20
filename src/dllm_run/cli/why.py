"""Why stages have no result: what stopped them, what blocks them, and what changed since an earlier run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dllm_run.compiler.identity import located
from dllm_run.compiler.identity import planned_id as id_of
from dllm_run.compiler.reasons import Reason, Seen, reasons
from dllm_run.compiler.side import stage_names
from dllm_run.specs.inputs import is_downloaded
from dllm_run.specs.inventory import Inventories
from dllm_run.specs.parts import replaced
from dllm_run.specs.plan import InputRecord, Plan
from dllm_run.specs.reference import Reference
from dllm_run.specs.store import Entry, Runs

from .history import Earlier, History
from .stage_status import status_of

Drift = Callable[[InputRecord], str | None]
"""An input -> how it differs from the lock, as a sentence."""

_FEW = 4
_MANY = 40
"""Earlier stages that are compared for a line of a table, and for an explanation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What would have to be as it was for the result of an earlier stage to be this one's."""

    id: str
    run: str
    reverted: tuple[str, ...]
    """`STAGE: what`, of this stage and of those that it needs."""


@dataclass(slots=True)
class Why:
    """Explains the stages of one plan from one store. Everything is looked up when it is asked for."""

    plan: Plan
    runs: Runs
    names: dict[str, str]
    """Of stages, by id."""
    drift: Drift
    history: History = field(init=False)
    _points: dict[str, str] = field(default_factory=dict)
    _status: dict[str, str] = field(default_factory=dict)
    _blocks: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    _drifted: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history = History(self.plan, self.runs)

    def entry(self, stage_id: str) -> Entry:
        """The place of a stage in the store."""
        return self.runs.entry(stage_id)

    def status(self, stage_id: str) -> str:
        """Its status, read once."""
        if stage_id not in self._status:
            self._status[stage_id] = status_of(self.entry(stage_id))
        return self._status[stage_id]

    def reasons(self, stage_id: str) -> tuple[Reason, ...]:
        """Why a stage has no result, the weightiest first; empty where it has one."""
        return self.all_reasons(stage_id, self.earlier(stage_id))

    def all_reasons(self, stage_id: str, earlier: Earlier | None) -> tuple[Reason, ...]:
        """The same, against an earlier stage that was found already."""
        if self.status(stage_id) == "done":
            return ()
        blocks = self.blocks(stage_id)
        told = {reason.needs for reason in blocks if reason.needs is not None}
        news = (reason for reason in self._news(stage_id, earlier) if reason.needs not in told)
        return (*blocks, *self._last_attempt(stage_id), *self._to_fetch(stage_id), *news)

    def earlier(self, stage_id: str, *, many: bool = False) -> Earlier | None:
        """The most similar stage of an earlier run; `many`: of more that are compared."""
        name, point = self.names[stage_id], self._point_of(stage_id)
        return self.history.nearest(stage_id, self.seen(stage_id), name, point, limit=_MANY if many else _FEW)

    def blocks(self, stage_id: str) -> tuple[Reason, ...]:
        """What keeps a stage from being run as things are."""
        if stage_id not in self._blocks:
            done = self.status(stage_id) == "done"
            self._blocks[stage_id] = () if done else (*self._blocking_inputs(stage_id), *self._blocking_stages(stage_id))
        return self._blocks[stage_id]

    def hit(self, stage_id: str, earlier: Earlier) -> Hit | None:
        """What to revert for a result to be found in the store; ids are computed anew and compared."""
        found = self._own_hit(stage_id, earlier)
        if found is not None or not earlier.done:
            return found
        # A result of a word that means something else today is not reached by any spec.
        if id_of(earlier.seen.stage.body, earlier.seen.record) != earlier.id:
            return None
        reverted = self._reverted(stage_id, earlier, earlier.id)
        return None if reverted is None else Hit(id=earlier.id, run=earlier.plan.run, reverted=reverted)

    def seen(self, stage_id: str) -> Seen:
        """A stage of this plan as comparisons need it."""
        stage = self.plan.stages[stage_id]
        return Seen(stage=stage, inputs=self.plan.inputs, name_of=self.names.__getitem__)

    def _news(self, stage_id: str, earlier: Earlier | None) -> tuple[Reason, ...]:
        if earlier is not None and earlier.reasons:
            return earlier.reasons
        waiting = [need.stage for need in self.plan.stages[stage_id].needs if self.status(need.stage) != "done"]
        if self.entry(stage_id).attempts():
            return ()
        found = tuple(Reason(what="stage", text=f"needs {self.names[other]}", needs=other) for other in dict.fromkeys(waiting))
        return found or (Reason(what="new", text="no result yet"),)

    def _last_attempt(self, stage_id: str) -> tuple[Reason, ...]:
        attempts = self.entry(stage_id).attempts()
        if not attempts:
            return ()
        state, last = self.status(stage_id), attempts[-1].status()
        message = f": {_line(last['message'])}" if state == "failed" and last.get("message") else ""
        many = f" (attempt {len(attempts)})" if len(attempts) > 1 else ""
        begun = "the result is gone" if last.get("state") == "done" else "was begun"
        text = {"failed": f"the last attempt failed{message}", "running": "is running", "pending": begun}.get(state, f"was {state}")
        return (Reason(what="failed" if state == "failed" else "new", text=text + many),)

    def _blocking_inputs(self, stage_id: str) -> list[Reason]:
        found = []
        for locator in self.plan.stages[stage_id].inputs:
            record = self.plan.inputs[locator]
            if locator in self._on_hubs(stage_id):
                continue
            if not record.resolved:
                where = "is on a hub and not resolved" if record.kind == "hub" else "is not on this machine"
                found.append(Reason(what="blocked", text=f"{locator} {where}"))
                continue
            if locator not in self._drifted:
                self._drifted[locator] = self.drift(record)
            drifted = self._drifted[locator]
            if drifted is not None:
                found.append(Reason(what="blocked", text=drifted))
        return found

    def _on_hubs(self, stage_id: str) -> list[str]:
        """Locators of what a run brings here before it begins; data sets of a hub are not read yet."""
        found = [locator for locator, what in located(self.plan.stages[stage_id].body).values() if what == "model"]
        records = {locator: self.plan.inputs[locator] for locator in found}
        return [locator for locator, record in records.items() if record.kind == "hub" and not is_downloaded(record, Path())]

    def _to_fetch(self, stage_id: str) -> tuple[Reason, ...]:
        """That a run downloads something first."""
        return tuple(Reason(what="new", text=f"needs {locator} from a hub: not downloaded here") for locator in self._on_hubs(stage_id))

    def _blocking_stages(self, stage_id: str) -> list[Reason]:
        found = []
        for other in dict.fromkeys(need.stage for need in self.plan.stages[stage_id].needs):
            if self.status(other) == "failed":
                message = self.entry(other).attempts()[-1].status().get("message")
                told = f": {_line(message)}" if message else ""
                found.append(Reason(what="blocked", text=f"{self.names[other]} failed{told}", needs=other))
            elif self.blocks(other):
                found.append(Reason(what="blocked", text=f"needs {self.names[other]}, which is blocked", needs=other))
        return found

    def _own_hit(self, stage_id: str, earlier: Earlier) -> Hit | None:
        """A hit by the stage's own fields alone: the earlier stage over what this plan now needs."""
        own = [reason for reason in earlier.reasons if reason.what in ("field", "input")]
        if not own or any(reason.what == "word" for reason in earlier.reasons):
            return None
        now = {self.names[need.stage]: need.stage for need in self.plan.stages[stage_id].needs}
        names = {need.stage: earlier.plan.name_of(need.stage) for need in earlier.seen.stage.needs}
        if not set(names.values()) <= now.keys():
            return None

        body = earlier.seen.stage.body
        edges = Inventories().of(body).edges
        moved = {edge.path: Reference(now[names[edge.reference.stage]], edge.reference.output) for edge in edges}
        found = id_of(replaced(body, moved), earlier.seen.record)
        if not self.entry(found).done:
            return None
        return Hit(id=found, run=earlier.plan.run, reverted=tuple(f"{self.names[stage_id]}: {_back(reason)}" for reason in own))

    def _reverted(self, stage_id: str, earlier: Earlier, old_id: str) -> tuple[str, ...] | None:
        """All that differs from an earlier stage, through the stages that it needs; None where it cannot be reverted."""
        old = earlier.plan.seen(old_id)
        if old is None:
            return None
        found: dict[str, None] = {}
        for reason in reasons(old, self.seen(stage_id)):
            if reason.what in ("field", "input"):
                found[f"{self.names[stage_id]}: {_back(reason)}"] = None
                continue
            before = [need.stage for need in old.stage.needs if earlier.plan.name_of(need.stage) == self.names.get(reason.needs or "")]
            deeper = self._reverted(reason.needs, earlier, before[0]) if reason.needs is not None and before else None
            if deeper is None:
                return None
            found.update(dict.fromkeys(deeper))
        return tuple(found)

    def _point_of(self, stage_id: str) -> str:
        if not self._points:
            for point_id, point in self.plan.points.items():
                for found in point.stages.values():
                    self._points.setdefault(found, point_id)
        return self._points[stage_id]


def names_of(plan: Plan) -> dict[str, str]:
    """One name of every stage, by id."""
    return stage_names(plan.stages, [point.stages for point in plan.points.values()])


def _back(reason: Reason) -> str:
    return f"{reason.path} back at {reason.old}" if reason.what == "field" else f"{reason.text.split(' ')[0]} as it was"


def _line(message: str) -> str:
    return message.splitlines()[0]
