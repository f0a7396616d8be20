"""A field of a given spec: the value it has, every place that had a say in it, and what the plan makes of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dllm_run.compiler.compile import Compiled, compile_spec
from dllm_run.compiler.entries import families, look_up, tag_of
from dllm_run.compiler.forms import default, short, summary_of
from dllm_run.compiler.node import Node
from dllm_run.compiler.origin import written
from dllm_run.compiler.suggest import nearest
from dllm_run.specs.codec import encode
from dllm_run.specs.effect import Effect
from dllm_run.specs.errors import Mark, NotFound
from dllm_run.specs.field import FieldInfo, fields_of
from dllm_run.specs.leaves import leaves
from dllm_run.specs.parts import parts
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.word import Word

from .explained_model import of_family
from .specs import Named

Path = tuple[str, ...]
_FLAG = "-s"
"""The file that marks of `-s` name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One place that gave a value."""

    place: str
    """`file:line`, `-s path=value`, or `default`."""
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What there is to know about one path of one spec."""

    path: str
    info: FieldInfo | None
    """None for a name that the user chose, such as that of a stage."""
    meaning: str
    effect: Effect | None
    value: Any
    said: tuple[Said, ...]
    """Every place that had a say; the last one counts."""
    planned: tuple[tuple[str, Any], ...]
    """Points and value where the plan has another value than the spec."""
    copies: tuple[str, ...]
    """Other paths that hold the same value because they refer to it."""
    below: tuple[tuple[str, str, str], ...]
    """Of a map or list: path, value and place of everything in it."""


def explain_in(named: Named, text: str) -> list[Explained]:
    """Everything that `text`, a path or the end of one, means in a spec. Raises NotFound, SpecError."""
    compiled = compile_spec(named.source, named.lock)
    known = list(_paths(compiled.spec))
    asked = tuple(text.split("."))
    found = [path for path in known if path == asked] or [path for path in known if path[-len(asked) :] == asked]
    if not found:
        raise NotFound(f"{named.source.file} has no {text!r}{_hint(known, text)}")
    homes: dict[Path, list[Path]] = {}
    for path in found:
        home = written(compiled.tree, path)
        homes.setdefault(home if home in found else path, []).append(path)
    return [_explain(compiled, home, [path for path in paths if path != home]) for home, paths in homes.items()]


def _paths(value: Any) -> Iterator[Path]:
    """Every path of a typed spec, those of the keys that name words too."""
    for part in parts(value):
        if part.path:
            yield part.path
        if isinstance(part.value, Word):
            yield (*part.path, part.value.tag)


def _hint(known: list[Path], text: str) -> str:
    """What to do about a path that a spec does not have."""
    if look_up(text):
        return f": it is not set there; `dllm-run explain {text}` says what it means"
    length = text.count(".") + 1
    guess = nearest(text, {".".join(path[-length:]) for path in known})
    return f": did you mean {guess}?" if guess else ""


def _explain(compiled: Compiled, path: Path, copies: list[Path]) -> Explained:
    value, info = _at(compiled.spec, path)
    effects = {leaf.path: leaf.effect for leaf in leaves(compiled.spec)}
    return Explained(
        path=".".join(path),
        info=info,
        meaning=info.leaf.meaning if info is not None else summary_of(type(value)),
        effect=effects.get(path, info.leaf.effect if info is not None else None),
        value=encode(value),
        said=tuple(_said(compiled, path, info)),
        planned=tuple(_planned(compiled, path, value)),
        copies=tuple(".".join(copy) for copy in copies),
        below=tuple(_below(compiled, path, value)),
    )


def _at(value: Any, path: Path) -> tuple[Any, FieldInfo | None]:
    """What stands at a path of a typed object, and the field that holds it. Raises LookupError."""
    info: FieldInfo | None = None
    for part in path:
        if isinstance(value, dict):
            value, info = value[part], None
        elif isinstance(value, tuple):
            value = value[int(part)]
        elif isinstance(value, Word) and part == value.tag:
            info = tag_of(next(base for base in families() if isinstance(value, base)))
            value = value.word
        else:
            info = next((one for one in fields_of(type(value)) if one.key == part), None) if not _is_scalar(value) else None
            if info is None:
                raise LookupError(part)
            value = getattr(value, info.name)
    return value, info


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, Reference))


def _said(compiled: Compiled, path: Path, info: FieldInfo | None) -> Iterator[Said]:
    home = written(compiled.tree, path)
    node = compiled.tree.get_text(home)
    if node is None:
        given = default(info) if info is not None else None
        yield Said(place="default", value="" if given is None else given)
        return
    chain: list[Node] = [node]
    while (before := chain[-1].before) is not None:
        chain.append(before)
    for older in reversed(chain[1:]):
        yield Said(place=_place(older.mark), value=_scalar(older), note="overridden")
    yield Said(place=_place(node.mark), value=_scalar(node), note="" if home == path else _way(compiled.tree, path, home))


def _way(tree: Node, path: Path, home: Path) -> str:
    """How a value came from where it was written to where it is."""
    for length in range(1, len(path) + 1):
        node = tree.get_text(path[:length])
        if node is not None and isinstance(node.value, str) and node.value.startswith("${"):
            return f"as {'.'.join(home)}, by {node.value} at {_place(node.mark)}"
    return f"as {'.'.join(home)}, which all stages share"


def _place(mark: Mark) -> str:
    return f"{_FLAG} {mark.source}" if mark.file == _FLAG else f"{mark.file}:{mark.line}"


def _scalar(node: Node) -> str:
    return "{…}" if isinstance(node.value, dict) else "[…]" if isinstance(node.value, list) else short(node.value)


def _planned(compiled: Compiled, path: Path, value: Any) -> Iterator[tuple[str, Any]]:
    """What the plan says, where that is another value: solved by the compiler, or another one at each point of a sweep."""
    if path[0] != "stages" or len(path) < 3:
        return
    points: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for point in compiled.plan.points.values():
        if path[1] not in point.stages:
            continue
        try:
            planned, _ = _at(compiled.plan.stages[point.stages[path[1]]].body, path[2:])
        except LookupError:
            continue
        if isinstance(planned, Reference) or isinstance(encode(planned), (dict, list)):
            continue
        text = short(encode(planned))
        points.setdefault(text, []).append(point.name)
        values[text] = encode(planned)
    if list(values.values()) == [encode(value)]:
        return
    for text, names in points.items():
        yield ", ".join(names) if len(names) <= 3 else f"{len(names)} points", values[text]


def _below(compiled: Compiled, path: Path, value: Any) -> Iterator[tuple[str, str, str]]:
    """Everything in a map or list, with what the compiler solves in it."""
    if _is_scalar(value) or not isinstance(encode(value), (dict, list)):
        return
    given = {leaf.path: leaf.value for leaf in leaves(value)}
    solve = getattr(type(value), "completed", None)
    for leaf in leaves(solve(value) if solve is not None else value):
        node = compiled.tree.get_text(written(compiled.tree, (*path, *leaf.path)))
        place = "default" if node is None else _place(node.mark)
        if given.get(leaf.path) != leaf.value:
            place = "solved by the compiler"
        shown = f"${{stages.{leaf.value['stage']}}}" if isinstance(leaf.value, dict) else short(leaf.value)
        yield ".".join(leaf.path), shown, place
    if isinstance(value, Model):
        yield from of_family(value, compiled.plan.inputs)
