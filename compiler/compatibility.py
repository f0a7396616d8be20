"""The type table at work: rows that vocabulary classes carry, held against the traits of the stage that they stand in."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from dllm_run.specs.compatibility import Compatible, Condition, Inert, Relation, Requirement
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.field import fields_of
from dllm_run.specs.parts import Path, is_vocabulary
from dllm_run.specs.problem import Problem
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.word import Word, members

from .check import diagnostic, mark_of
from .node import Node
from .suggest import nearest
from .trait import Trait, stage_of
from .traits import Traits

Written = Callable[[Path], Path]


def compatibility(fresh: list[Traits], stages: list[Traits], root: Node, written: Written) -> Iterator[Diagnostic]:
    """Every pair in the `fresh` stages that does not go together, and every option that does nothing in any of all `stages`."""
    inert: list[tuple[Path, Problem]] = []
    for traits in fresh:
        for path, value in traits.objects():
            if not isinstance(value, Compatible):
                continue
            own = Trait(value, path)
            if type(value).rows is not Compatible.rows:
                traits.consulted.add(path)
            for row in value.rows():
                if not all(_holds(condition, traits.find(condition.trait, own)) for condition in row.when):
                    continue
                if isinstance(row, Inert):
                    inert.extend(_without_effect(row, traits, own))
                else:
                    for problem in _violation(row, traits, own):
                        yield _told(problem, root, written)
    silent = {path for path, _ in inert}
    homes = {path: written(path) for path in silent}
    live = _live(stages, set(homes.values()), silent, written) if inert else set()
    for path, problem in inert:
        if homes[path] not in live:
            yield _told(problem, root, written)


def unread_top(tree: Node) -> Iterator[Diagnostic]:
    """A model or trackers at the top that no stage takes."""
    texts = [node.value for _, node in tree.walk() if isinstance(node.value, str)]
    stages = tree.get(("stages",))
    if stages is None or not isinstance(stages.value, dict):
        return
    told = (("model", "the model", "every stage names its own"), ("log", "the trackers", "training stages have metrics"))
    for key, what, label in told:
        found = tree.get((key,))
        if found is None or not found.value:
            continue
        if any(text == f"${{{key}}}" or text.startswith(f"${{{key}.") for text in texts):
            continue
        if any(_takes(stage, key) for stage in stages.value.values()):
            continue
        message, mark = f"no stage takes {what} at the top", found.key_mark or found.mark
        yield Diagnostic(code="W431", severity="warning", message=message, path=key, mark=mark, label=label)


def _takes(stage: Node, key: str) -> bool:
    """Whether a stage has none of its own and is of a kind that then takes the one at the top, or of none that is known."""
    if not isinstance(stage.value, dict):
        return True
    kind = stage.value.get("kind")
    cls = members(Stage).get(kind.value) if kind is not None and isinstance(kind.value, str) else None
    if cls is None:
        return True
    inherits = issubclass(cls, Stage) and {"model": cls.inherits_model, "log": cls.logs}[key]
    return inherits and key not in stage.value


def _holds(condition: Condition, trait: Trait) -> bool:
    if condition.given is not None:
        return (trait.value is not None) is condition.given
    return _among(trait.plain, condition.values)


def _among(value: Any, values: tuple[Any, ...]) -> bool:
    # True is 1 to Python, and an option that is on is no number.
    return any(value == other and isinstance(value, bool) is isinstance(other, bool) for other in values)


def _told(problem: Problem, root: Node, written: Written) -> Diagnostic:
    """A finding with absolute paths; a place that is told already is not told again beside it."""
    mark = mark_of(root, problem.path)
    related = tuple(item for item in problem.related if mark_of(root, item[0]) != mark)
    return diagnostic(replace(problem, related=related), (), root, written)


# --- pairs


def _violation(row: Requirement, traits: Traits, own: Trait) -> Iterator[Problem]:
    subject = own if row.subject == "own" else traits.find(row.subject, own)
    trait = traits.find(row.trait, own)
    if _is_met(row, subject, trait):
        return
    notes = [row.reason] if row.reason else []
    cure = _cure(row, subject, trait, traits, own)
    if row.relation is Relation.AMONG and len(row.values) > 1:
        notes.append(f"legal: {', '.join(map(_shown, row.values))}")
    yield Problem(
        code=row.code,
        message=row.message.format(subject=_shown(subject.value), trait=_shown(trait.value)),
        path=subject.path,
        label=row.label,
        notes=tuple(notes),
        fix=cure,
        related=((trait.path, _place(row.trait, trait, traits)),),
        severity="error" if row.code.startswith("E") else "warning",
    )


def _is_met(row: Requirement, subject: Trait, trait: Trait) -> bool:
    match row.relation:
        case Relation.GIVEN:
            return trait.value is not None
        case Relation.AMONG:
            return trait.value is None or _among(trait.plain, row.values)
        case Relation.SAME:
            return subject.value is None or trait.value is None or subject.value == trait.value
        case Relation.AT_LEAST:
            least = subject.value if row.bound is None else row.bound
            return least is None or trait.value is None or bool(trait.value >= least)


def _cure(row: Requirement, subject: Trait, trait: Trait, traits: Traits, own: Trait) -> tuple[Path, Any] | None:
    """A path and a value under which the row holds: on this side where the other one is a finished fact."""
    if row.cure is not None:
        return traits.find(row.cure[0], own).path, row.cure[1]
    match row.relation:
        case Relation.SAME:
            return _assignment(subject.path, trait.value)
        case Relation.AT_LEAST:
            if row.bound is not None:
                return trait.path, int(row.bound)
            theirs = stage_of(subject.path) != traits.name
            return (trait.path, subject.value) if theirs else (subject.path, trait.value)
        case Relation.AMONG if stage_of(trait.path) == traits.name and trait.path[-1] not in ("kind", "format", "from"):
            texts = [value for value in row.values if isinstance(value, str)]
            guess = nearest(str(trait.plain), texts) or next(iter(row.values), None)
            return _assignment(trait.path, guess)
        case Relation.AMONG:
            return next((_assignment(own.path, word) for word in _alternatives(own, row, trait)), None)
    return None


def _assignment(path: Path, value: Any) -> tuple[Path, Any] | None:
    if isinstance(value, Word) and not isinstance(value, Stage):
        plain = all(getattr(value, info.name) == info.default for info in fields_of(type(value)))
        return (path, value.word) if plain else None
    return (path, value) if isinstance(value, (str, int, float)) else None


def _alternatives(own: Trait, row: Requirement, trait: Trait) -> list[str]:
    """Words of the same family that have no row against this trait, the nearest by name first."""
    if not isinstance(own.value, Word) or isinstance(own.value, Stage) or not isinstance(trait.value, (Word, str)):
        return []
    lineage = type(own.value).__mro__
    family = lineage[lineage.index(Word) - 1]
    ready = {word: cls for word, cls in members(family).items() if not any(info.required for info in fields_of(cls))}
    legal = [word for word, cls in ready.items() if cls is not type(own.value) and _accepts(cls, row.trait, trait)]
    guess = nearest(str(trait.plain), legal)
    return sorted(legal, key=lambda word: word != guess)


def _accepts(cls: type[Word], name: str, trait: Trait) -> bool:
    rows = [row for row in cls.table if isinstance(row, Requirement) and row.trait == name and row.relation is Relation.AMONG]
    return all(_among(trait.plain, row.values) for row in rows)


def _place(name: str, trait: Trait, traits: Traits) -> str:
    stage = stage_of(trait.path)
    where = f" (of stage {stage})" if stage is not None and stage != traits.name else ""
    value = f": {_shown(trait.value)}" if _is_plain(trait.value) else " is not given"
    return f"{name.rpartition('.')[2].removeprefix('trained_')}{value}{where}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, Word, Quantity))


def _shown(value: Any) -> str:
    if isinstance(value, Stage):
        return f"a {value.word} stage"
    if isinstance(value, Word):
        return value.word
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Reference):
        return f"${{stages.{value.stage}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- options that do nothing


class _Option(NamedTuple):
    path: Path
    value: Any
    default: Any


def _without_effect(row: Inert, traits: Traits, own: Trait) -> Iterator[tuple[Path, Problem]]:
    """The option of a row that holds, where it is this stage's and has another value than its default."""
    option = _option(row, traits, own)
    if option is None or option.value == option.default or stage_of(option.path) != traits.name:
        return
    name = row.option.removeprefix("own.")
    causes = [(condition.trait, traits.find(condition.trait, own)) for condition in row.when]
    problem = Problem(
        code="E430",
        message=f"{name} has no effect: {row.reason}",
        path=option.path,
        label=row.label,
        fix=(option.path, None),
        related=tuple((cause.path, _place(trait, cause, traits)) for trait, cause in causes if _is_plain(cause.value)),
    )
    yield option.path, problem


def _option(row: Inert, traits: Traits, own: Trait) -> _Option | None:
    above, _, key = row.option.rpartition(".")
    holder = own if above == "own" else traits.find(above, own) if above else Trait(traits.stage, traits.path)
    if not is_vocabulary(holder.value):
        return None
    info = next((info for info in fields_of(type(holder.value)) if info.key == key), None)
    if info is None:
        return None
    traits.consulted.add((*holder.path, key))
    return _Option((*holder.path, key), getattr(holder.value, info.name), None if info.required else info.default)


def _live(stages: list[Traits], homes: set[Path], silent: set[Path], written: Written) -> set[Path]:
    """Which of the places where options are written are also handed to where they do something."""
    keys = {home[-1] for home in homes}
    found: set[Path] = set()
    for traits in stages:
        for path, _, _ in traits.parts:
            if path[-1] in keys and path not in silent and (home := written(path)) in homes:
                found.add(home)
    return found
