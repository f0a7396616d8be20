"""Job script templates of the user's own: the very bytes that the plan names, and what is wrong with them, told at their lines."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from dllm_run.specs.errors import Diagnostic, Mark
from dllm_run.specs.plan import Plan
from dllm_run.specs.script import ScriptProblem

from .lock import Lock
from .node import Node
from .suggest import nearest

CheckScripts = Callable[[Plan, Mapping[str, bytes]], Iterable[ScriptProblem]]
"""Given from outside: the compiler knows no launcher."""


def script_locators(inputs: Mapping[str, str]) -> list[str]:
    """Of the locators of inputs, with what they are, those of templates."""
    return sorted(locator for locator, what in inputs.items() if what == "script")


def read_scripts(locators: Iterable[str], plan: Plan, lock: Lock, tree: Node) -> tuple[dict[str, bytes], list[Diagnostic]]:
    """The templates by locator, and diagnostics for those that cannot be had: without their bytes there is nothing to compile to."""
    scripts: dict[str, bytes] = {}
    wrong: list[Diagnostic] = []
    for locator in locators:
        data = lock.content(locator)
        if data is None:
            wrong.append(_at(tree, locator, "E144", f"{locator}: there is no such file here", "a job script is written from it"))
        elif list(plan.inputs[locator].files.values()) != [hashlib.sha256(data).hexdigest()]:
            label = "`dllm-run lock --update` accepts it"
            wrong.append(_at(tree, locator, "E145", f"{locator} is not the file that the lock has", label))
        elif not _is_text(data):
            wrong.append(_at(tree, locator, "E144", f"{locator} is not UTF-8 text", "a job script is written from it"))
        else:
            scripts[locator] = data
    return scripts, wrong


def script_diagnostics(problems: Iterable[ScriptProblem], scripts: Mapping[str, bytes], tree: Node) -> list[Diagnostic]:
    """The findings with their places: the line of the template, and where the spec names it."""
    return [_diagnostic(problem, scripts[problem.locator].decode(), tree) for problem in problems]


def _diagnostic(problem: ScriptProblem, text: str, tree: Node) -> Diagnostic:
    lines = text.splitlines()
    source = lines[problem.line - 1] if problem.line <= len(lines) else ""
    label = problem.label
    if problem.known:
        guess = nearest(problem.name, problem.known)
        label = f"did you mean {guess!r}?" if guess else f"a script gets: {', '.join(problem.known)}"
    path, node = _named(tree, problem.locator)
    return Diagnostic(
        code=problem.fault.value,
        message=problem.message,
        path=path,
        mark=_mark(problem, source),
        label=label,
        related=((node.mark, "the template that is named here"),),
    )


def _mark(problem: ScriptProblem, source: str) -> Mark:
    found = re.search(rf"(?<![\w.]){re.escape(problem.name)}(?!\w)", source) if problem.name else None
    start, end = found.span() if found is not None else (len(source) - len(source.lstrip()), len(source.rstrip()))
    return Mark(problem.locator, problem.line, start + 1, max(1, end - start), source)


def _at(tree: Node, locator: str, code: str, message: str, label: str) -> Diagnostic:
    path, node = _named(tree, locator)
    return Diagnostic(code=code, message=message, path=path, mark=node.mark, label=label)


def _named(tree: Node, locator: str) -> tuple[str, Node]:
    """Where the spec names a template first."""
    return next(_places(tree, locator), ("launch.script", tree))


def _places(tree: Node, locator: str) -> Iterator[tuple[str, Node]]:
    for path, node in tree.walk():
        if node.value == locator:
            yield ".".join(map(str, path)), node


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
