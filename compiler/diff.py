"""What changed between two compiled specs, by effect, and which stages it invalidates."""

from dataclasses import dataclass, replace
from typing import Any

from dllm_run.specs.effect import Effect
from dllm_run.specs.leaves import Path, leaves
from dllm_run.specs.parts import parts
from dllm_run.specs.reference import Reference

from .compile import Compiled
from .origin import written


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
    renamed = _renamed(old, new)
    both = (old.spec.stages.keys() & new.spec.stages.keys()) | set(renamed) | set(renamed.values())
    before, after = _leaves(old, both, renamed), _leaves(new, both, {})
    places = new.sources()
    changes = [Change(f"stages.{now}", was, now, Effect.NONE) for was, now in renamed.items()]
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


def _renamed(old: Compiled, new: Compiled) -> dict[str, str]:
    """Old names to new ones, for stages that are called otherwise and compute the same."""
    found: dict[str, str] = {}
    for was in old.spec.stages.keys() - new.spec.stages.keys():
        same = (now for now in new.spec.stages if now not in old.spec.stages and _ids(new, now) == _ids(old, was))
        now = next((name for name in same if name not in found.values()), None)
        if now is not None:
            found[was] = now
    return dict(sorted(found.items()))


def _ids(compiled: Compiled, name: str) -> set[str]:
    return {point.stages[name] for point in compiled.plan.points.values() if name in point.stages}


def _leaves(compiled: Compiled, both: set[str], renamed: dict[str, str]) -> dict[Path, tuple[Any, Effect]]:
    found: dict[Path, tuple[Any, Effect]] = {}
    for name, stage in compiled.spec.stages.items():
        shown = renamed.get(name, name)
        if name not in both:
            # A stage that only one of them has is one change, not one for each of its fields.
            found[("stages", name)] = (stage.word, Effect.RESULT)
            continue
        edges = {part.path: _edge(part.value, compiled, renamed) for part in parts(stage) if isinstance(part.value, Reference)}
        for path, value, effect in leaves(stage.completed()):
            found[("stages", shown, *path)] = (None if value == [] else edges.get(path, value), effect)
    for path in (("name",), ("seed",)):
        found[path] = (getattr(compiled.spec, path[0]), Effect.RESULT if path == ("seed",) else Effect.NONE)
    names = sorted(point.name for point in compiled.plan.points.values())
    found[("sweep",)] = (names if len(names) > 1 else None, Effect.RESULT)
    scripts = set(compiled.scripts)
    for locator, record in compiled.plan.inputs.items():
        effect = Effect.NUMERICS if locator in scripts else Effect.RESULT
        found[(f"inputs[{locator}]",)] = (dict(record.files) or "unresolved", effect)
    return found


def _edge(edge: Reference, compiled: Compiled, renamed: dict[str, str]) -> str:
    principal = compiled.spec.stages[edge.stage].outputs[0]
    output = f".out.{edge.output}" if edge.output not in ("", principal) else ""
    return f"${{stages.{renamed.get(edge.stage, edge.stage)}{output}}}"


def _lifted(changes: list[Change], new: Compiled, old: Compiled) -> list[Change]:
    """Changes where they were made: what stages inherited from the top, or copied, is told once."""
    out: dict[tuple[str, str, str], Change] = {}
    for change in changes:
        path = (change.path,) if change.path.startswith("inputs[") else tuple(change.path.split("."))
        home = ".".join(next((found for tree in (new.tree, old.tree) if (found := written(tree, path)) != path), path))
        out.setdefault((home, str(change.old), str(change.new)), replace(change, path=home))
    return list(out.values())
