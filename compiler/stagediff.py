"""What changed between two stages of one name: chosen fields with their effects, and what nobody wrote but follows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dllm_run.specs.effect import Effect
from dllm_run.specs.leaves import LeafValue, Path, leaves
from dllm_run.specs.plan import Point
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.data import DataStage

from .chosen import is_default, is_solved
from .derived import Derived, SizeOf, numbers
from .identity import content, located, revisions
from .side import Side, is_data_set


@dataclass(frozen=True, slots=True)
class Change:
    """One field with its two values; None stands for a field that is not there."""

    path: str
    old: Any
    new: Any
    effect: Effect
    place: str | None = None
    """`file:line` of the new value."""
    notes: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    """Names of the points that it is in; empty: in all that were compared."""


@dataclass(frozen=True, kw_only=True)
class StageView:
    """A stage of a point as its user sees it: the data set at its place, other stages by name."""

    side: Side
    point: Point
    name: str
    renamed: dict[str, str]
    """Names of this side to those that are shown."""

    @property
    def id(self) -> str:
        """Its id."""
        return self.point.stages[self.name]

    @property
    def body(self) -> Stage:
        """As planned."""
        return self.side.plan.stages[self.id].body

    @cached_property
    def fields(self) -> dict[Path, LeafValue]:
        """Every field by its path in the stage."""
        return {found.path: found for found in self._fields()}

    @cached_property
    def data_at(self) -> Path | None:
        """The path of the data set that has a stage of its own."""
        own = self.point.stages.get(f"{self.name}.data")
        return next((path for path, value, _ in leaves(self.body) if isinstance(value, dict) and value["stage"] == own), None)

    @property
    def data_body(self) -> DataStage | None:
        """The stage of that data set."""
        if self.data_at is None:
            return None
        found = self.side.plan.stages[self.point.stages[f"{self.name}.data"]].body
        assert isinstance(found, DataStage)
        return found

    def content_at(self, path: Path) -> Any:
        """The content of the input that the text at `path` names; None if it names none or is not resolved."""
        inputs = located(self.body)
        if self.data_body is not None and self.data_at is not None:
            inputs.update({(*self.data_at, *inside[1:]): found for inside, found in located(self.data_body).items()})
        path = self._revised(path)
        if path not in inputs:
            return None
        record = self.side.plan.inputs[inputs[path][0]]
        return content(record, inputs[path][1]) if record.resolved else None

    def _revised(self, path: Path) -> Path:
        """The place of what a revision is of; the path itself where it is none."""
        return revisions(self.body).get(path, path)

    def chosen(self, path: Path) -> bool:
        """Whether somebody chose the value: else it is a default, or was solved."""
        if self.spelt(path) in self.side.places:
            return True
        if self.side.all_written:
            return False
        if path == ("seed",):
            return self.fields[path].value not in (None, self.side.seed)
        body, inside = self.body, path
        if self.data_body is not None and self.data_at is not None and path[: len(self.data_at)] == self.data_at:
            body, inside = self.data_body, ("data", *path[len(self.data_at) :])
        return not (is_default(body, inside) or is_solved(body, inside))

    def spelt(self, path: Path) -> str:
        """The path in the spec of this side."""
        return ".".join(("stages", self.name, *path))

    def _fields(self) -> Iterator[LeafValue]:
        for found in leaves(self.body):
            if found.path == self.data_at and self.data_body is not None:
                yield from leaves(self.data_body.data, found.path)
            elif isinstance(found.value, dict):
                yield found._replace(value=self._edge(found.value))
            else:
                yield found._replace(value=None) if found.value == [] else found

    def _edge(self, reference: dict[str, str]) -> str:
        name = min((name for name, stage_id in self.point.stages.items() if stage_id == reference["stage"]), key=is_data_set)
        principal = self.side.plan.stages[reference["stage"]].body.outputs[0]
        output = "" if reference["output"] in ("", principal) else f".out.{reference['output']}"
        return f"${{stages.{self.renamed.get(name, name)}{output}}}"


def stage_changes(old: StageView, new: StageView, size_of: SizeOf) -> tuple[list[Change], list[Derived]]:
    """What changed from one stage to another, and what follows from that."""
    if (old.body, old.data_body, old.id) == (new.body, new.data_body, new.id):
        return [], []
    follows: list[Derived] = []
    changes: dict[Path, Change] = {}
    for path in dict.fromkeys((*new.fields, *old.fields)):
        was, now = old.fields.get(path), new.fields.get(path)
        values = (was.value if was is not None else None, now.value if now is not None else None)
        if values[0] == values[1]:
            continue
        if (was is not None and old.chosen(path)) or (now is not None and new.chosen(path)):
            changes[path] = _change(old, new, path, values)
        elif was is not None and now is not None and path != ("seed",):
            # What only one of them has comes and goes with a word; the root's seed is told at the root.
            follows.append(Derived(new.name, ".".join(path), *values, effect=now.effect))
    for item in _numbers(old, new, size_of):
        deciding = [path for path in changes if any(path[: len(prefix)] == prefix for prefix in item.decided_by)]
        if len(deciding) == 1:
            known = changes[deciding[0]]
            changes[deciding[0]] = replace(known, notes=(*known.notes, item.note()))
        follows.append(item)
    return list(changes.values()), follows


def _change(old: StageView, new: StageView, path: Path, values: tuple[Any, Any]) -> Change:
    effect = min((view.fields[path].effect for view in (old, new) if path in view.fields), key=list(Effect).index)
    notes: tuple[str, ...] = ()
    here = old.content_at(path)
    if here is not None and here == new.content_at(path):
        effect = Effect.NONE
        notes = ("same content",)
    spelt = new.spelt(path)
    home = new.side.origins.get(spelt) or old.side.origins.get(old.spelt(path)) or spelt
    return Change(home, *values, effect, new.side.places.get(spelt) if path in new.fields else None, notes)


def _numbers(old: StageView, new: StageView, size_of: SizeOf) -> Iterator[Derived]:
    was = {item.name: item for item in numbers(old.body, size_of)}
    for item in numbers(new.body, size_of):
        if item.name in was and was[item.name].value != item.value:
            beside = item.beside if item.beside == was[item.name].beside else ""
            yield Derived(new.name, item.name, was[item.name].value, item.value, item.decided_by, item.cost, beside=beside)
