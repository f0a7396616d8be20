"""What vocabulary classes find wrong with themselves, given places in the file and a ready cure."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from dllm_run.specs.canonical import canonical
from dllm_run.specs.errors import Diagnostic, Mark
from dllm_run.specs.field import fields_of
from dllm_run.specs.parts import is_vocabulary
from dllm_run.specs.problem import Problem
from dllm_run.specs.vocabulary.spec import Spec

from .node import Node, Path
from .read import MAX_FOUND
from .suggest import nearest

Seen = dict[int, Any]
"""Identity of an object to the object, which stays alive with it."""
_OPENS = (*"[{\"'&*!|>%@`#?-", "")
"""Characters that begin a form of YAML."""


def check(spec: Spec, root: Node, written: Callable[[tuple[str, ...]], tuple[str, ...]], seen: Seen) -> Iterator[Diagnostic]:
    """Findings of every object of a typed spec, errors and warnings alike; `written` says where a cure must be written.

    What is in `seen` was checked before, at another point of a sweep, and is not told again.
    """
    told: Counter[str] = Counter()
    for path, value in _unseen(spec, (), seen):
        report = getattr(type(value), "problems", None)
        if report is not None:
            for problem in report(value):
                told[problem.severity] += 1
                if told[problem.severity] <= MAX_FOUND:
                    yield diagnostic(problem, path, root, written)


def _unseen(value: Any, path: tuple[str, ...], seen: Seen) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _unseen(item, (*path, str(index)), seen)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unseen(item, (*path, key), seen)
    elif is_vocabulary(value) and id(value) not in seen:
        seen[id(value)] = value
        yield path, value
        for info in fields_of(type(value)):
            inner = getattr(value, info.name)
            if not isinstance(inner, (str, int, float)) and inner is not None:
                yield from _unseen(inner, (*path, info.key), seen)


def diagnostic(problem: Problem, path: tuple[str, ...], root: Node, written: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Diagnostic:
    """A finding with its place: that of the field it names, else of the map that lacks it."""
    where = (*path, *problem.path)
    fix = None
    if problem.fix is not None:
        target, value = problem.fix
        fix = f"{'.'.join(written((*path, *target)))}={_flag_text(value)}"
    mark = mark_of(root, where)
    if problem.key:
        mark = root.nearest(tree_path(root, where)).key_mark or mark
    related = tuple((mark_of(root, (*path, *other)), note) for other, note in problem.related)
    return Diagnostic(
        code=problem.code,
        message=problem.message,
        path=".".join(where),
        mark=mark,
        label=problem.label,
        notes=problem.notes,
        fix=fix,
        related=related,
        severity=problem.severity,
    )


def _flag_text(value: Any) -> str:
    """A value as a flag must have it to be read as just that: a text that opens a YAML form is quoted."""
    return value if isinstance(value, str) and value[:1] not in _OPENS else canonical(value)


def mark_of(root: Node, path: tuple[str, ...]) -> Mark:
    """The place of a value; of the nearest map above it where the value is a default."""
    return root.nearest(tree_path(root, path)).mark


def tree_path(root: Node, path: tuple[str, ...]) -> Path:
    """A path of texts as the tree has it: positions in lists are numbers."""
    found: list[str | int] = []
    for part in path:
        here = root.get(tuple(found))
        found.append(int(part) if part.isdigit() and here is not None and isinstance(here.value, list) else part)
    return tuple(found)


def unread_data(root: Node) -> Iterator[Diagnostic]:
    """Named data sets that no stage reads. Where stages refer to one that is not there but nearly has the name, their error says so."""
    data = root.get(("data",))
    if data is None or not isinstance(data.value, dict):
        return
    texts = [node.value for _, node in root.walk() if isinstance(node.value, str)]
    read = {text[7:].rstrip("}").split(".")[0] for text in texts if text.startswith("${data.")}
    for name, node in islice(((name, node) for name, node in data.value.items() if name not in read), MAX_FOUND):
        guess = nearest(name, read)
        if guess is None or guess in data.value:
            yield Diagnostic(
                code="W431",
                severity="warning",
                message=f"no stage reads data.{name}",
                path=f"data.{name}",
                mark=node.key_mark or node.mark,
                label=f"the stages read data.{guess}" if guess else "refer to it as ${data." + name + "}",
            )
