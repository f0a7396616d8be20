"""Texts with {{ … }}, filled in from the fields of the spec in a sandbox where a name that is not there is an error."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dllm_run.specs.codec import default_of
from dllm_run.specs.errors import Diagnostic, Mark
from dllm_run.specs.field import FieldInfo, fields_of
from dllm_run.specs.templating import is_template
from dllm_run.specs.vocabulary.spec import Spec

from .expand import class_at
from .node import Node, Path
from .suggest import nearest


def environment() -> Any:
    """Jinja's sandbox with strict names. Loaded on use: a spec without templates does not wait for it."""
    jinja2, sandbox = importlib.import_module("jinja2"), importlib.import_module("jinja2.sandbox")
    return sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False, extensions=["jinja2.ext.loopcontrols"]
    )


def syntax_problem(text: str, mark: Mark, path: str) -> Diagnostic | None:
    """What is wrong with the form of a template, if anything."""
    errors = importlib.import_module("jinja2.exceptions")
    try:
        environment().parse(text)
    except errors.TemplateSyntaxError as error:
        return _problem(text, str(error), error.lineno, mark, path)
    return None


def names_in(text: str) -> set[str]:
    """The names that a template needs from outside; none where its form is wrong, which is told elsewhere."""
    errors, meta = importlib.import_module("jinja2.exceptions"), importlib.import_module("jinja2.meta")
    try:
        found: set[str] = meta.find_undeclared_variables(environment().parse(text))
    except errors.TemplateSyntaxError:
        return set()
    return found


_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Tags that transformers adds to Jinja for chat templates."""


class Templates:
    """Fills the templates of specs that have much in common: where they are is looked up once for the same section."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Node, list[tuple[Path, Node, FieldInfo]]]] = {}

    def fill(self, root: Node) -> tuple[Node, list[Diagnostic]]:
        """The tree with every template over the spec filled in, and what was wrong with some of them."""
        places = [place for path, section in _sections(root) for place in self._in(path, section)]
        if not places:
            return root, []
        values = {info.key: default_of(info) for info in fields_of(Spec) if not info.required} | root.plain()
        found: list[Diagnostic] = []
        for path, node, info in places:
            assert isinstance(node.value, str) and info.leaf.template is not None
            where = ".".join(map(str, path))
            if info.leaf.template in ("row", "chat"):
                text = _GENERATION.sub("", node.value) if info.leaf.template == "chat" else node.value
                problem = syntax_problem(text, node.mark, where)
                found.extend([problem] if problem is not None else [])
                continue
            stage = {"stage": path[1]} if path[0] == "stages" else {}
            filled = _filled(node, where, {**values, **stage}, found)
            root = _with(root, path, Node(filled, node.mark, node.key_mark))
        # What was copied is told once.
        return root, list({(item.mark, item.message): item for item in reversed(found)}.values())[::-1]

    def _in(self, path: Path, section: Node) -> list[tuple[Path, Node, FieldInfo]]:
        if id(section) not in self._known:
            whole = section
            for part in reversed(path):
                whole = Node({str(part): whole}, section.mark)
            self._known[id(section)] = (section, _places(whole, Spec, ()))
        return self._known[id(section)][1]


def _sections(root: Node) -> Iterator[tuple[Path, Node]]:
    assert isinstance(root.value, dict)
    for key, child in root.value.items():
        if key == "stages" and isinstance(child.value, dict):
            yield from (((key, name), stage) for name, stage in child.value.items())
        else:
            yield (key,), child


def _filled(node: Node, where: str, values: dict[str, Any], found: list[Diagnostic]) -> str:
    errors = importlib.import_module("jinja2.exceptions")
    text = str(node.value)
    try:
        filled: str = environment().from_string(text).render(values)
    except errors.TemplateSyntaxError as error:
        found.append(_problem(text, str(error), error.lineno, node.mark, where))
    except errors.UndefinedError as error:
        item = _problem(text, str(error), 1, node.mark, where)
        guess = nearest(str(error).split("'")[1], values) if str(error).count("'") == 2 else None
        label = f"did you mean {guess!r}?" if guess else "a template sees the fields of the spec"
        found.append(replace(item, label=label, notes=("braces that are meant: {% raw %}{{ … }}{% endraw %}",)))
    except errors.SecurityError as error:
        found.append(_problem(text, str(error), 1, node.mark, where))
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        found.append(_problem(text, f"{type(error).__name__}: {error}", 1, node.mark, where))
    else:
        return filled
    return text


def _problem(text: str, message: str, line: int, mark: Mark, where: str) -> Diagnostic:
    inside = f", line {line} of the template" if "\n" in text else ""
    return Diagnostic(code="E131", message=f"the template cannot be filled in: {message}{inside}", path=where, mark=mark)


def _places(node: Node, cls: type, path: Path) -> "list[tuple[Path, Node, FieldInfo]]":
    """Every template below a node that is read as a `cls`."""
    target = class_at(node, cls)
    if target is None or not isinstance(node.value, dict):
        return []
    found = []
    for info in fields_of(target):
        child = node.value.get(info.key)
        if child is not None and (info.leaf.template is not None or info.shape.cls or info.shape.values or info.shape.items):
            found.extend(_below(child, info, info.shape, (*path, info.key)))
    return found


def _below(node: Node, info: FieldInfo, shape: Any, path: Path) -> "list[tuple[Path, Node, FieldInfo]]":
    if isinstance(node.value, dict):
        if shape.cls is not None:
            return _places(node, shape.cls, path)
        if shape.values is not None:
            return [item for key, child in node.value.items() for item in _below(child, info, shape.values, (*path, key))]
    if isinstance(node.value, list) and shape.items is not None:
        return [item for index, child in enumerate(node.value) for item in _below(child, info, shape.items, (*path, index))]
    return [(path, node, info)] if info.leaf.template is not None and is_template(node.value) else []


def _with(root: Node, path: Path, leaf: Node) -> Node:
    if not path:
        return leaf
    if isinstance(root.value, dict):
        assert isinstance(path[0], str)
        return Node({**root.value, path[0]: _with(root.value[path[0]], path[1:], leaf)}, root.mark, root.key_mark)
    assert isinstance(root.value, list) and isinstance(path[0], int)
    items = list(root.value)
    items[path[0]] = _with(items[path[0]], path[1:], leaf)
    return Node(items, root.mark, root.key_mark)
