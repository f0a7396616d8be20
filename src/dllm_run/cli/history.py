"""Earlier runs under a folder of runs: which of their stages is most like one of now. Plans are read once, and only when asked."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dllm_run.compiler.reasons import Reason, Seen, reasons
from dllm_run.compiler.side import stage_names
from dllm_run.specs.plan import SCHEMA, InputRecord, Plan, PlannedStage
from dllm_run.specs.store import Runs, read_json

_RUNS = 20
"""Newest runs that are looked at, of this experiment and of all others."""
_FAR = 4
"""Differences from which a stage of another experiment explains nothing."""


@dataclass(slots=True)
class EarlierPlan:
    """A plan.json as it was read; its stages get types one by one."""

    run: str
    """NAME/ID."""
    data: dict[str, Any]
    _names: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, Seen | None] = field(default_factory=dict)

    def seen(self, stage_id: str) -> Seen | None:
        """A stage with types; None where it does not fit this version."""
        if stage_id not in self._seen:
            self._seen[stage_id] = self._read(stage_id)
        return self._seen[stage_id]

    def name_of(self, stage_id: str) -> str:
        """The name of a stage, as a plan that was never written to a file would tell it."""
        if not self._names:
            self._names = stage_names(self.data["order"], [point["stages"] for point in self.data["points"].values()])
        return self._names[stage_id]

    def ids(self, name: str, kind: str, point_id: str, point_name: str, *, any_name: bool) -> list[str]:
        """Stages of that name and kind, those of the same point first; else, with `any_name`, stages of that kind."""
        points = sorted(self.data["points"].items(), key=lambda item: (item[0] != point_id, item[1]["name"] != point_name))
        named = dict.fromkeys(point["stages"][name] for _, point in points if name in point["stages"])
        found = list(named) or (list(self.data["stages"]) if any_name else [])
        return [stage_id for stage_id in found if self.data["stages"][stage_id]["body"]["kind"] == kind]

    def _read(self, stage_id: str) -> Seen | None:
        try:
            stage = PlannedStage.from_json(self.data["stages"][stage_id])
            inputs = {locator: InputRecord.from_json(self.data["inputs"][locator]) for locator in stage.inputs}
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return Seen(stage=stage, inputs=inputs, name_of=self.name_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The stage of an earlier run that is most like one of now, and all that differs."""

    id: str
    name: str
    done: bool
    plan: EarlierPlan
    seen: Seen
    reasons: tuple[Reason, ...]


@dataclass(slots=True)
class History:
    """The earlier runs beside a plan."""

    plan: Plan
    runs: Runs
    _own: list[EarlierPlan] | None = None
    _others: list[EarlierPlan] | None = None

    def nearest(self, stage_id: str, now: Seen, name: str, point_id: str, *, limit: int) -> Earlier | None:
        """The most similar stage that was finished or begun, of at most `limit` that are compared: of this experiment, else of any."""
        kind, point_name = now.stage.body.word, self.plan.points[point_id].name
        best: Earlier | None = None
        for plans, own in ((self._own_plans, True), (self._other_plans, False)):
            begun = (
                (plan, other)
                for plan in plans()
                for other in plan.ids(name, kind, point_id, point_name, any_name=not own)
                if other != stage_id and self._begun(other)
            )
            for plan, other in islice(begun, limit):
                found = self._compared(plan, other, now)
                if found is not None and (own or len(found.reasons) < _FAR) and (best is None or _distance(found) < _distance(best)):
                    best = found
            if best is not None:
                return best
        return None

    def _compared(self, plan: EarlierPlan, stage_id: str, now: Seen) -> Earlier | None:
        seen = plan.seen(stage_id)
        if seen is None:
            return None
        done = self.runs.entry(stage_id).done
        return Earlier(id=stage_id, name=plan.name_of(stage_id), done=done, plan=plan, seen=seen, reasons=reasons(seen, now))

    def _begun(self, stage_id: str) -> bool:
        entry = self.runs.entry(stage_id)
        return entry.done or (entry.path / "attempts").is_dir()

    def _own_plans(self) -> list[EarlierPlan]:
        if self._own is None:
            here = self.runs.root / self.plan.name
            paths = [path for path in here.glob("*/plan.json") if path.parent.name != self.plan.run_id]
            self._own = list(_read(paths))
        return self._own

    def _other_plans(self) -> list[EarlierPlan]:
        if self._others is None:
            others = [folder / "plan.json" for folder in self.runs.all_runs() if folder.parent.name != self.plan.name]
            self._others = list(_read(others))
        return self._others


def _distance(found: Earlier) -> tuple[int, bool]:
    return len(found.reasons), not found.done


def _read(paths: list[Path]) -> Iterator[EarlierPlan]:
    """The newest plans that this version can read."""
    for path in sorted(paths, key=lambda path: -path.stat().st_mtime)[:_RUNS]:
        data = read_json(path)
        if data is not None and data.get("schema") == SCHEMA:
            yield EarlierPlan(f"{path.parent.parent.name}/{path.parent.name}", data)
