"""What vocabulary classes find wrong with themselves, given places in the file and a ready cure."""

from collections.abc import Callable, Iterator
from typing import Any

from dllm_run.specs.canonical import canonical
from dllm_run.specs.errors import Diagnostic, Mark
from dllm_run.specs.parts import parts
from dllm_run.specs.problem import Problem
from dllm_run.specs.vocabulary.spec import Spec

from .node import Node, Path
from .suggest import nearest

_OPENS = (*"[{\"'&*!|>%@`#?-", "")
"""Characters that begin a form of YAML."""


def check(spec: Spec, root: Node, written: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Iterator[Diagnostic]:
    """Findings of every object of a typed spec, errors and warnings alike; `written` says where a cure must be written."""
    for path, value, _ in parts(spec):
        report = getattr(type(value), "problems", None)
        if report is not None:
            for problem in report(value):
                yield diagnostic(problem, path, root, written)


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
    """Named data sets that no stage reads."""
    data = root.get(("data",))
    if data is None or not isinstance(data.value, dict):
        return
    texts = [node.value for _, node in root.walk() if isinstance(node.value, str)]
    for name, node in data.value.items():
        if not any(text == f"${{data.{name}}}" or text.startswith(f"${{data.{name}.") for text in texts):
            mentioned = sorted({text[7:].rstrip("}").split(".")[0] for text in texts if text.startswith("${data.")})
            guess = nearest(name, mentioned)
            yield Diagnostic(
                code="W431",
                severity="warning",
                message=f"no stage reads data.{name}",
                path=f"data.{name}",
                mark=node.key_mark or node.mark,
                label=f"the stages read data.{guess}" if guess else "refer to it as ${data." + name + "}",
            )
