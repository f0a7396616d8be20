"""What changed between two compiled specs, by effect, and which stages it invalidates."""

from dataclasses import dataclass
from typing import Any

from dllm_run.specs.effect import Effect
from dllm_run.specs.leaves import Path, leaves

from .compile import Compiled


@dataclass(frozen=True, slots=True)
class Change:
    """One field with its two values; None stands for a field that is not there."""

    path: str
    old: Any
    new: Any
    effect: Effect
    place: str | None = None
    """`file:line` of the new value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes, and what they mean for the stages by name."""

    changes: tuple[Change, ...]
    invalidated: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def strongest(self) -> Effect | None:
        """The strongest effect among the changes; None where nothing changed."""
        present = {change.effect for change in self.changes}
        return next((effect for effect in Effect if effect in present), None)


def diff(old: Compiled, new: Compiled) -> Difference:
    """Compare two specs. A stage is kept if it has the same id in both, whatever it is called."""
    before, after = _leaves(old), _leaves(new)
    places = new.sources()
    changes = []
    for path in sorted(before.keys() | after.keys()):
        was, now = before.get(path, _ABSENT), after.get(path, _ABSENT)
        if was[0] != now[0]:
            effect = min((was[1], now[1]), key=list(Effect).index)
            changes.append(Change(".".join(path), was[0], now[0], effect, places.get(".".join(path))))
    known = set(old.plan.stages)
    names: dict[str, bool] = {}
    for point in new.plan.points.values():
        for name, stage_id in point.stages.items():
            label = name if len(new.plan.points) == 1 else f"{point.name}/{name}"
            names[label] = stage_id in known
    return Difference(
        changes=tuple(_lifted(changes, new, old)),
        invalidated=tuple(name for name, kept in names.items() if not kept),
        kept=tuple(name for name, kept in names.items() if kept),
    )


_ABSENT: tuple[Any, Effect] = (None, Effect.NONE)


def _leaves(compiled: Compiled) -> dict[Path, tuple[Any, Effect]]:
    found: dict[Path, tuple[Any, Effect]] = {}
    for name, stage in compiled.spec.stages.items():
        for path, value, effect in leaves(stage.completed(), ("stages", name)):
            found[path] = (value, effect)
    for path in (("name",), ("seed",)):
        found[path] = (getattr(compiled.spec, path[0]), Effect.RESULT if path == ("seed",) else Effect.NONE)
    grids = {tuple(sorted(point.name for point in compiled.plan.points.values()))}
    found[("sweep",)] = (next(iter(grids)) if len(compiled.plan.points) > 1 else None, Effect.RESULT)
    for locator, record in compiled.plan.inputs.items():
        found[("inputs", locator)] = (dict(record.files) or "unresolved", Effect.RESULT)
    return found


def _lifted(changes: list[Change], new: Compiled, old: Compiled) -> list[Change]:
    """A change that every stage inherited from the top is told once, where it was made."""
    out: list[Change] = []
    told: set[tuple[str, str]] = set()
    for change in changes:
        top, rest = _inherited(change.path)
        if top is not None and _written_at_top(change, rest, new, old):
            if (rest, str(change.new)) not in told:
                told.add((rest, str(change.new)))
                out.append(Change(rest, change.old, change.new, change.effect, change.place))
        else:
            out.append(change)
    return out


def _inherited(path: str) -> tuple[str | None, str]:
    parts = path.split(".", 2)
    if len(parts) == 3 and parts[0] == "stages" and parts[2].split(".")[0] in ("compute", "launch", "model"):
        return parts[1], parts[2]
    return None, path


def _written_at_top(change: Change, rest: str, new: Compiled, old: Compiled) -> bool:
    steps = tuple(rest.split("."))
    own = tuple(change.path.split("."))
    for compiled in (new, old):
        top, mine = compiled.root.get(steps), compiled.root.get(own)
        if top is not None and mine is not None and top.mark == mine.mark:
            return True
    return False
