"""The compiler: from the bytes of a spec to a plan, or to everything that is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dllm_run.specs.codec import DecodeError, decode
from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.plan import InputRecord, Plan, PlannedStage, Point
from dllm_run.specs.vocabulary.spec import Spec, Sweep

from .athand import at_hand, nearby
from .check import check, mark_of, unread_data
from .compatibility import compatibility, unread_model
from .distribute import distribute
from .expand import expand, expand_at
from .identity import inputs_of
from .lock import Lock
from .lower import Lowering, edge_problems
from .node import Node
from .origin import into_reference, told_once, written
from .overlay import assign
from .points import PointTree, points, sweep_problems, without_sweep
from .read import read, read_flag
from .references import resolve
from .traits import traits_of
from .validate import schema_diagnostics, typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The bytes of a spec and the flags on top of it."""

    file: str
    """As diagnostics name it."""
    data: bytes
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A spec that compiled."""

    spec: Spec
    """Without its sweep, everything resolved."""
    root: Node
    """The same before it had types, with the place of every value."""
    tree: Node
    """The same before references were resolved and the top was handed to the stages."""
    plan: Plan
    warnings: tuple[Diagnostic, ...]

    def sources(self) -> dict[str, str]:
        """Path of every leaf to `file:line` of what wrote it."""
        found = {}
        for path, node in self.root.walk():
            if not isinstance(node.value, (dict, list)):
                found[".".join(map(str, path))] = f"{node.mark.file}:{node.mark.line}"
        return found


def compile_spec(source: Source, lock: Lock) -> Compiled:
    """Compile a spec. Raises SpecError with every diagnostic that was found."""
    tree = _tree(source)
    _stop_on_errors([*_sweep_misfits(tree), *sweep_problems(tree)])
    warnings: dict[Diagnostic, None] = dict.fromkeys([*unread_data(tree), *unread_model(tree)])
    stages: dict[str, PlannedStage] = {}
    found: dict[str, Point] = {}
    errors: dict[Diagnostic, None] = {}
    # With a sweep the base need not compile: a value may be given by the grid alone.
    base = _compile_point(PointTree("", "-", without_sweep(tree)), lock, {}, {}) if tree.get(("sweep",)) else None
    for point in points(tree):
        done = _compile_point(point, lock, errors, warnings)
        base = base or done
        if done is not None:
            stages.update(done.lowering.planned)
            found[point.id] = Point(name=point.name, stages=done.lowering.ids)
    _stop_on_errors([*errors, *warnings] if errors else [])
    assert base is not None
    records = {locator: lock.record(locator, what) for stage in stages.values() for locator, what in inputs_of(stage.body).items()}
    plan = Plan(name=base.spec.name, inputs=dict(sorted(records.items())), stages=stages, points=found)
    warnings.update(dict.fromkeys(_unresolved(base.root, records.values(), lock.base)))
    return Compiled(spec=base.spec, root=base.root, tree=base.tree, plan=plan, warnings=tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Done:
    spec: Spec
    root: Node
    tree: Node
    lowering: Lowering


def _tree(source: Source) -> Node:
    """The spec with its flags applied and its shorthands expanded, sweep included."""
    errors: list[Diagnostic] = []
    try:
        root = read(source.data, source.file)
    except SpecError as error:
        raise error from None
    if not isinstance(root.value, dict):
        raise SpecError([Diagnostic(code="E104", message="a spec is a map, with version, name and stages", mark=root.mark)])
    root = expand(root, Spec)
    for flag in source.flags:
        try:
            path, leaf = read_flag(flag)
        except SpecError as error:
            errors.extend(error.diagnostics)
            continue
        inside = into_reference(root, path, leaf)
        if inside is not None:
            errors.append(inside)
            continue
        root = expand(assign(root, path, expand_at(root, Spec, path, leaf)), Spec)
    _stop_on_errors(errors)
    return root


def _sweep_misfits(tree: Node) -> list[Diagnostic]:
    """What is wrong with the form of a sweep, which no point has any more."""
    sweep = tree.get(("sweep",))
    if sweep is None or sweep.value is None:
        return []
    try:
        decode(Sweep, sweep.plain())
    except DecodeError:
        return [item for item in schema_diagnostics(tree) if item.path.split(".")[0] == "sweep"]
    return []


def _compile_point(point: PointTree, lock: Lock, errors: dict[Diagnostic, None], warnings: dict[Diagnostic, None]) -> _Done | None:
    tree = expand(point.root, Spec)
    root, problems = resolve(tree)
    root = distribute(expand(root, Spec))
    if problems:
        misfits = (item for item in schema_diagnostics(root) if not _reference(item))
        errors.update(dict.fromkeys([*problems, *told_once(misfits, tree)]))
        return None
    try:
        spec = typed(root)
    except SpecError as error:
        errors.update(dict.fromkeys(told_once(error.diagnostics, tree)))
        return None
    edges = [_placed(item, path, root) for path, item in edge_problems(spec)]
    found = [*check(spec, root, partial(written, tree)), *edges]
    stages = traits_of(spec, swept=point.is_one_of_several)
    found += [*compatibility(stages, root, partial(written, tree)), *at_hand(stages, root, lock, partial(written, tree))]
    for item in told_once(found, tree):
        (errors if item.severity == "error" else warnings)[item] = None
    if errors:
        return None
    lowering = Lowering(spec=spec, record_of=lock.record)
    lowering.run()
    return _Done(spec, root, tree, lowering)


def _reference(item: Diagnostic) -> bool:
    """Whether a misfit only follows from a reference that could not be resolved."""
    return item.mark is not None and "${" in item.mark.source[item.mark.column - 1 :][: item.mark.length]


def _placed(item: Diagnostic, path: tuple[str, ...], root: Node) -> Diagnostic:
    return Diagnostic(code=item.code, message=item.message, path=".".join(path), mark=mark_of(root, path), label=item.label)


def _unresolved(root: Node, records: Iterable[InputRecord], base: Path) -> Iterable[Diagnostic]:
    for record in records:
        if record.resolved:
            continue
        mark = next((node.mark for _, node in root.walk() if node.value == record.locator), None)
        message = {
            "hub": f"{record.locator} is on a hub: not checked, its id stands for its content",
            "package": f"{record.locator}: the package or the file in it is not installed here",
            "file": f"{record.locator}: no such file here",
        }[record.kind]
        hint = nearby(record.locator, base) if record.kind == "file" else None
        notes = ("`run` needs it here", *((hint,) if hint else ()))
        yield Diagnostic(code="W501", severity="warning", message=message, mark=mark, label="unresolved", notes=notes)


def _stop_on_errors(diagnostics: list[Diagnostic]) -> None:
    if diagnostics:
        raise SpecError(diagnostics)
