"""The compiler: from the bytes of a spec to a plan, or to everything that is wrong with it."""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.hub import hub_id
from dllm_run.specs.parts import Path
from dllm_run.specs.plan import InputRecord, Plan, Point
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import using

from .at_hand import at_hand, nearby
from .capacity import Told, capacity
from .check import Seen, check, mark_of, unread_data
from .compatibility import compatibility, unread_top
from .flags import Flags
from .frame import form_problems, frame_problems
from .layers import Layers, ReadFile
from .lock import Lock
from .lower import Lowered, edge_problems
from .misfits import misfits
from .node import Node
from .origin import told_once, written
from .plugins import Plugins
from .points import PointTree, overlap, points, without_frame
from .read import read
from .resolution import Resolution
from .scripts import CheckScripts, read_scripts, script_diagnostics, script_locators
from .sizes import Sizes
from .traits import traits_of
from .variation import Variations
from .versions import Versions

Written = Callable[[Path], Path]
_FORGET = 2048
"""Points after which what they had in common is let go of, to bound the memory of a long sweep."""
_ENOUGH = 100
"""Errors after which no further point is looked at."""


def no_files(path: str) -> bytes:
    """How a spec reads further files where there are none."""
    raise FileNotFoundError(2, "no such file", path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The bytes of a spec and the flags on top of it."""

    file: str
    """As diagnostics name it."""
    data: bytes
    flags: tuple[str, ...] = ()
    read_file: ReadFile = no_files
    """For the files that it builds on, by their path from its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A spec that compiled."""

    spec: Spec
    """Without its cases and sweep, everything resolved."""
    root: Node
    """The same before it had types, with the place of every value."""
    tree: Node
    """The same before references were resolved and the top was handed to the stages."""
    plan: Plan
    scripts: Mapping[str, bytes]
    """Job script templates of the user's own, by locator."""
    warnings: tuple[Diagnostic, ...]
    inputs: dict[str, bytes] = field(default_factory=dict)
    """Files that the spec builds on, by path from its folder."""

    def sources(self) -> dict[str, str]:
        """Path of every leaf to `file:line` of what wrote it."""
        found = {}
        for path, node in self.root.walk():
            if not isinstance(node.value, (dict, list)):
                found[".".join(map(str, path))] = f"{node.mark.file}:{node.mark.line}"
        return found

    def origins(self) -> dict[str, str]:
        """Path of every leaf that was copied or handed down, to the path where it was written."""
        paths = {path: written(self.tree, tuple(path.split("."))) for path in self.sources()}
        return {path: ".".join(home) for path, home in paths.items() if ".".join(home) != path}


def compile_spec(source: Source, lock: Lock, check_scripts: CheckScripts | None = None) -> Compiled:
    """Compile a spec. Raises SpecError with every diagnostic that was found. `check_scripts` finds what is wrong with job scripts."""
    layers = Layers(source.file, source.read_file)
    plugins = Plugins(layers)
    flags = Flags.read(source.flags)
    tree = layers.tree(flags.early(read(source.data, source.file)))
    with using(plugins.used(tree)):
        try:
            return _compile(tree, flags, layers, plugins, lock, check_scripts)
        except SpecError:
            # An unknown word may be one of an installed package: looked up only now, so that nobody else waits for it.
            offered = plugins.offered()
            if not offered:
                raise
        with using(offered):
            return _compile(tree, flags, layers, plugins, lock, check_scripts)


def _compile(tree: Node, flags: Flags, layers: Layers, plugins: Plugins, lock: Lock, check_scripts: CheckScripts | None) -> Compiled:
    tree = flags.on(tree)
    _stop_on_errors([*form_problems(tree), *frame_problems(tree)])
    run = _Run(layers, lock)
    run.warnings.update(dict.fromkeys([*unread_data(tree), *unread_top(tree)]))
    # With cases or a sweep the base need not compile: a value may be given by these alone.
    alone = without_frame(tree)
    base = run.alone(alone, lock) if alone is not tree else None
    for point in points(tree, flags.late):
        done = run.point(point)
        base = base or done
        if len(run.points) % _FORGET == 0:
            run.forget()
        if len(run.errors) > _ENOUGH:
            break
    _stop_on_errors([*run.errors, *run.warnings] if run.errors else [])
    if not run.points:
        raise SpecError(
            [Diagnostic(code="E126", message="every point is excluded", path="sweep.exclude", mark=mark_of(tree, ("sweep", "exclude")))]
        )
    stages = run.lowered.planned
    records = {locator: lock.record(locator, what) for locator, what in run.lowered.inputs.items()}
    assert base is not None
    plan = Plan(
        name=base.spec.name,
        inputs=dict(sorted(records.items())),
        stages=stages,
        points=run.points,
        plugins=plugins.records({word for stage in stages.values() for word in stage.words}),
    )
    templates = script_locators(run.lowered.inputs)
    scripts, wrong = read_scripts(templates, plan, lock, tree)
    run.warnings.update(dict.fromkeys(_same(run.same, tree)))
    # A template that is not here is an error already.
    run.warnings.update(
        dict.fromkeys(_unresolved(base.root, (record for locator, record in records.items() if locator not in templates), lock.base))
    )
    if scripts and not wrong and check_scripts is not None:
        wrong = script_diagnostics(check_scripts(plan, scripts), scripts, tree)
    _stop_on_errors([*wrong, *run.warnings] if wrong else [])
    return Compiled(
        spec=base.spec,
        root=base.root,
        tree=base.tree,
        plan=plan,
        warnings=tuple(run.warnings),
        inputs=dict(sorted(layers.found.items())),
        scripts=scripts,
    )


@dataclass(frozen=True, slots=True)
class _Done:
    spec: Spec
    root: Node
    tree: Node
    ids: dict[str, str]


class _Run:
    """Compiles points and keeps what they have in common."""

    def __init__(self, layers: Layers, lock: Lock) -> None:
        self.resolution = Resolution(layers)
        self.lowered = Lowered(lock.record)
        self.errors: dict[Diagnostic, None] = {}
        self.warnings: dict[Diagnostic, None] = {}
        self.points: dict[str, Point] = {}
        self.same: list[tuple[str, str]] = []
        """Names of points that compute the same as an earlier one, after its name."""
        self._computes: dict[tuple[tuple[str, str], ...], str] = {}
        self._lock = lock
        self._sizes = Sizes(lock.base)
        self._sized: Told = {}
        self._checked: Seen = {}
        self._versions = Versions()
        self._variations = Variations()
        self._consulted: set[Path] = set()
        """Places whose values decide what goes together, as far as was asked."""
        self._overlaps: dict[tuple[Path, int], bool] = {}

        self._go_together: set[tuple[str | None, tuple[tuple[Path, int], ...]]] = set()
        """Of the points that were put together: what was looked at when they were found right."""

    def forget(self) -> None:
        """Let go of everything that is only there to be quick."""
        self.resolution = Resolution(self.resolution.layers)
        self.lowered.forget()
        self._variations.forget()
        self._checked.clear()
        self._sized.clear()
        self._versions = Versions()

    def alone(self, tree: Node, lock: Lock) -> _Done | None:
        """A tree that is no point: its errors do not count, and its stages are nobody's."""
        quiet = _Run(self.resolution.layers, lock)
        quiet.resolution = self.resolution
        return quiet.point(PointTree(base=tree))

    def point(self, point: PointTree) -> _Done | None:
        """One point, or None where something is wrong with it, or with one before, or it was put together without a tree."""
        varied = self._variations.spec_of(point)
        if varied is not None and not self.errors and self._is_sound(*varied, point):
            self._keep(point, self.lowered.point(varied[0]))
            return None
        tree = point.tree()
        root, problems = self.resolution.resolve(tree)
        spec = None
        if not problems:
            try:
                spec = self.resolution.typed(root)
            except SpecError as error:
                problems = [*error.diagnostics]
        if spec is None:
            self.errors.update(dict.fromkeys(misfits(tree, self.resolution) or problems))
            return None
        edges = [_placed(item, path, root) for path, item in edge_problems(spec, self.lowered.inventories)]
        home = partial(written, tree)
        found = [*check(spec, root, home, self._checked), *edges]
        fresh = set(spec.stages) if edges else self._versions.new_in(spec.stages, self.lowered.inventories)
        found += self._beside(spec, fresh, point, root, home)
        if not edges:
            found += capacity(spec, fresh, root, home, self._sizes, self._sized)
        for item in told_once(found, tree) if found else ():
            (self.errors if item.severity == "error" else self.warnings)[item] = None
        if self.errors:
            return None
        self._variations.learn(point, spec, self.resolution.references)
        ids = self.lowered.point(spec)
        self._keep(point, ids)
        return _Done(spec, root, tree, ids)

    def _keep(self, point: PointTree, ids: dict[str, str]) -> None:
        same = self._computes.setdefault(tuple(sorted(ids.items())), point.name)
        if same != point.name:
            self.same.append((same, point.name))
        self.points[point.id] = Point(name=point.name, stages=ids, case=point.case, values=point.values)

    def _beside(self, spec: Spec, fresh: set[str], point: PointTree, root: Node, home: Written) -> Iterator[Diagnostic]:
        """What does not go together in the stages of these names, and what is wrong with inputs that are here."""
        stages = traits_of(spec, self.lowered.inventories, self._consulted, swept=point.is_one_of_several)
        new = [traits for traits in stages if traits.name in fresh]
        yield from compatibility(new, stages, root, home)
        yield from at_hand(new, root, self._lock, home)

    def _is_consulted(self, path: Path) -> bool:
        key = (path, len(self._consulted))
        if key not in self._overlaps:
            self._overlaps[key] = any(overlap(path, place) for place in self._consulted)
        return self._overlaps[key]

    def _is_sound(self, spec: Spec, changed: dict[Path, Any], point: PointTree) -> bool:
        """Whether nothing is to be told of a spec that was put together. If there is, the point is compiled by itself, with places."""
        nowhere = point.base
        if any(True for _ in check(spec, nowhere, _anywhere, self._checked)):
            return False
        fresh = self._versions.new_in(spec.stages, self.lowered.inventories)
        # Nothing else than what is looked at decides what goes together: the same values of that need no second look.
        looked_at = tuple((path, id(part)) for path, part in changed.items() if self._is_consulted(path))
        if (point.case, looked_at) not in self._go_together:
            if any(True for _ in self._beside(spec, fresh, point, nowhere, _anywhere)):
                return False
            self._go_together.add((point.case, looked_at))
        return not any(True for _ in capacity(spec, fresh, nowhere, _anywhere, self._sizes, self._sized))


def _anywhere(path: Path) -> Path:
    return path


def _same(pairs: list[tuple[str, str]], tree: Node) -> Iterator[Diagnostic]:
    if not pairs:
        return
    path = "sweep" if tree.get(("sweep",)) is not None else "cases"
    first, second = pairs[0]
    more = f", and {len(pairs) - 1} more pairs" if len(pairs) > 1 else ""
    where = tree.get((path,)) or tree
    text = f"point {second} computes the same as {first}{more}"
    mark = where.key_mark or where.mark
    yield Diagnostic(
        code="W432", severity="warning", message=text, path=path, mark=mark, label="they differ in nothing that changes a result"
    )


def _placed(item: Diagnostic, path: tuple[str, ...], root: Node) -> Diagnostic:
    return Diagnostic(code=item.code, message=item.message, path=".".join(path), mark=mark_of(root, path), label=item.label)


def _unresolved(root: Node, records: Iterable[InputRecord], base: pathlib.Path) -> Iterable[Diagnostic]:
    for record in records:
        if record.resolved:
            continue
        names = {record.locator, hub_id(record.locator).name} if record.kind == "hub" else {record.locator}
        mark = next((node.mark for _, node in root.walk() if isinstance(node.value, str) and node.value in names), None)
        message = {
            "hub": f"{record.locator} is on a hub: not checked, its id stands for its content",
            "package": f"{record.locator}: the package or the file in it is not installed here",
            "file": f"{record.locator}: no such file here",
        }[record.kind]
        hint = nearby(record.locator, base) if record.kind == "file" else None
        need = "`dllm-run fetch` downloads it" if record.kind == "hub" else "`run` needs it here"
        notes = (need, *((hint,) if hint else ()))
        yield Diagnostic(code="W501", severity="warning", message=message, mark=mark, label="unresolved", notes=notes)


def _stop_on_errors(diagnostics: list[Diagnostic]) -> None:
    if diagnostics:
        raise SpecError(diagnostics)
