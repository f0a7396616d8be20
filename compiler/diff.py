"""What changed between two plans, by effect, what follows from it, and which stages must run again."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dllm_run.specs.effect import Effect
from dllm_run.specs.plan import InputRecord, Plan, Point

from .derived import Derived, SizeOf
from .identity import located
from .pairing import Pair, PointChanges, pair_points, renamed_stages
from .side import Side, in_order, is_data_set
from .stagediff import Change, StageView, stage_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFate:
    """A stage of the new side: kept if the old one has the same id, whatever it is called."""

    id: str
    name: str
    points: tuple[str, ...]
    """Names of the points that have it; empty: all."""
    kept: bool

    @property
    def label(self) -> str:
        """The name, with the first of its points where not all have it."""
        return f"{self.points[0]}/{self.name}" if self.points else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All changes, and what they mean for the stages; a stage that points share is counted once."""

    changes: tuple[Change, ...]
    derived: tuple[Derived, ...]
    points: PointChanges
    stages: tuple[StageFate, ...]

    @property
    def strongest(self) -> Effect | None:
        """The strongest effect of all that changed; None where nothing did."""
        present = {change.effect for change in self.changes} | {item.effect for item in self.derived}
        return next((effect for effect in Effect if effect in present), None)

    @property
    def invalidated(self) -> tuple[str, ...]:
        """Labels of the stages that the old side does not have."""
        return tuple(stage.label for stage in self.stages if not stage.kept)

    @property
    def kept(self) -> tuple[str, ...]:
        """Labels of the stages whose results stand."""
        return tuple(stage.label for stage in self.stages if stage.kept)


def diff(old: Side, new: Side, size_of: SizeOf = lambda stage_id: None) -> Difference:
    """Compare two sides. `size_of` tells what is known of prepared data sets."""
    old, new = replace(old, plan=in_order(old.plan)), replace(new, plan=in_order(new.plan))
    pairs, points = pair_points(old.plan, new.plan)
    renamed = renamed_stages(old.plan, new.plan)
    stages = _Stages(old, new, renamed, size_of)
    for pair in pairs:
        stages.compare(pair)
    whole = [*_root_changes(old, new), *_input_changes(old.plan, new.plan), *_word_changes(old.plan, new.plan)]
    whole += [Change(f"stages.{now}", was, now, Effect.NONE) for was, now in renamed.items()]
    if points.added or points.removed:
        effect = Effect.NONE if old.plan.stages.keys() == new.plan.stages.keys() else Effect.RESULT
        whole.append(Change("points", list(points.removed) or None, list(points.added) or None, effect))
    changes = sorted([*whole, *stages.changes(len(pairs))], key=lambda change: change.path)
    return Difference(changes=tuple(changes), derived=tuple(stages.derived), points=points, stages=tuple(_fates(old.plan, new.plan)))


@dataclass(slots=True)
class _Stages:
    """The changes of all pairs of stages, each told once."""

    old: Side
    new: Side
    renamed: dict[str, str]
    size_of: SizeOf
    derived: dict[Derived, None] = field(default_factory=dict)
    found: dict[tuple[str, str, str], tuple[Change, list[str]]] = field(default_factory=dict)
    known: dict[tuple[str, str, str], list[Change]] = field(default_factory=dict)

    def compare(self, pair: Pair) -> None:
        """The stages of two points. A stage that only one of them has is one change, not one for each of its fields."""
        was = {self.renamed.get(name, name): name for name in pair[0].stages if not is_data_set(name)}
        now = [name for name in pair[1].stages if not is_data_set(name)]
        for name in now:
            if name in was:
                for change in self._compare_stages(pair, was[name], name):
                    self._add(change, pair[1].name)
        for name in {**dict.fromkeys(now), **was}:
            if (name in was) != (name in now):
                before, after = _kind(self.old.plan, pair[0], name), _kind(self.new.plan, pair[1], name)
                place = self.new.places.get(f"stages.{name}.kind")
                self._add(Change(f"stages.{name}", before, after, Effect.RESULT, place), pair[1].name)

    def changes(self, pairs: int) -> Iterator[Change]:
        """What was found, with the points where not all have it."""
        for change, points in self.found.values():
            yield replace(change, points=() if len(points) == pairs else tuple(points))

    def _compare_stages(self, pair: Pair, was: str, now: str) -> list[Change]:
        key = (pair[0].stages[was], pair[1].stages[now], now)
        if key not in self.known:
            old = StageView(side=self.old, point=pair[0], name=was, renamed=self.renamed)
            self.known[key], derived = stage_changes(old, StageView(side=self.new, point=pair[1], name=now, renamed={}), self.size_of)
            self.derived.update(dict.fromkeys(derived))
        return self.known[key]

    def _add(self, change: Change, point: str) -> None:
        key = (change.path, repr(change.old), repr(change.new))
        known, points = self.found.setdefault(key, (change, []))
        effect = min(known.effect, change.effect, key=list(Effect).index)
        notes = tuple(dict.fromkeys((*known.notes, *change.notes)))
        self.found[key] = (replace(known, effect=effect, notes=notes), points)
        if point not in points:
            points.append(point)


def _kind(plan: Plan, point: Point, name: str) -> str | None:
    return plan.stages[point.stages[name]].body.word if name in point.stages else None


def _root_changes(old: Side, new: Side) -> Iterator[Change]:
    if old.plan.name != new.plan.name:
        yield Change("name", old.plan.name, new.plan.name, Effect.NONE, new.places.get("name"))
    if old.seed != new.seed:
        yield Change("seed", old.seed, new.seed, Effect.RESULT, new.places.get("seed"))


def _input_changes(old: Plan, new: Plan) -> Iterator[Change]:
    """Inputs that both name, with other content; where one names another, that field is the change."""
    changed = {locator for locator, record in new.inputs.items() if locator in old.inputs and old.inputs[locator].files != record.files}
    scripts = {locator for locator in changed if _is_script(new, locator)}
    for locator in sorted(changed):
        effect = Effect.NUMERICS if locator in scripts else Effect.RESULT
        yield Change(f"inputs[{locator}]", _files(old.inputs[locator]), _files(new.inputs[locator]), effect)


def _is_script(plan: Plan, locator: str) -> bool:
    """Whether an input is the template of a job script."""
    readers = (stage.body for stage in plan.stages.values() if locator in stage.inputs)
    return all((locator, "script") in located(body).values() for body in readers)


def _files(record: InputRecord) -> Any:
    return dict(record.files) if record.resolved else "unresolved"


def _word_changes(old: Plan, new: Plan) -> Iterator[Change]:
    """Words that have come to mean something else, as between trees of two versions."""
    before, after = ({word: version for stage in plan.stages.values() for word, version in stage.words.items()} for plan in (old, new))
    for word in sorted(before.keys() & after.keys()):
        if before[word] != after[word]:
            yield Change(f"words[{word}]", before[word], after[word], Effect.RESULT, notes=("the word has a new meaning",))


def _fates(old: Plan, new: Plan) -> Iterator[StageFate]:
    having: dict[str, list[tuple[str, str]]] = {}
    for point in new.points.values():
        for name, stage_id in point.stages.items():
            having.setdefault(stage_id, []).append((point.name, name))
    for stage_id in new.stages:
        points = tuple(dict.fromkeys(point for point, _ in having[stage_id]))
        name = min((name for _, name in having[stage_id]), key=is_data_set)
        yield StageFate(id=stage_id, name=name, points=() if len(points) == len(new.points) else points, kept=stage_id in old.stages)
