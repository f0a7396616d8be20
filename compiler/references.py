"""Copying references: `${a.b}` is replaced by what stands at a.b. Edges, `${stages.X}`, stay."""

import re

from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.reference import Reference

from .check import tree_path
from .node import Node, Path
from .read import MAX_DEPTH, MAX_FOUND, MAX_NODES
from .shorten import listed, shortened
from .suggest import nearest

_WHOLE = re.compile(r"^\$\{([^${}]+)\}$")


def resolve(root: Node) -> tuple[Node, list[Diagnostic]]:
    """The tree with every copying reference replaced, and what was wrong with some of them."""
    return _Resolver(root).run()


class _Resolver:
    def __init__(self, root: Node) -> None:
        self.root = root
        self.found: list[Diagnostic] = []
        self.open: list[str] = []
        self.depth = 0
        self.count = 0

    def run(self) -> tuple[Node, list[Diagnostic]]:
        return self._resolve(self.root, ()), self.found

    def _resolve(self, node: Node, path: Path) -> Node:
        self.count += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _too_much("E110", f"nested deeper than {MAX_DEPTH} levels once references are copied", node, path)
        if self.count > MAX_NODES:
            raise _too_much("E111", f"more than {MAX_NODES:,} values once references are copied", node, path)
        resolved = self._entered(node, path)
        self.depth -= 1
        return resolved

    def _entered(self, node: Node, path: Path) -> Node:
        if isinstance(node.value, dict):
            value = {key: self._resolve(child, (*path, key)) for key, child in node.value.items()}
            same = all(value[key] is child for key, child in node.value.items())
            return node if same else Node(value, node.mark, node.key_mark)
        if isinstance(node.value, list):
            items = [self._resolve(child, (*path, index)) for index, child in enumerate(node.value)]
            same = all(new is old for new, old in zip(items, node.value, strict=True))
            return node if same else Node(items, node.mark, node.key_mark)
        if isinstance(node.value, str) and "${" in node.value:
            return self._replace(node, node.value, path)
        return node

    def _replace(self, node: Node, text: str, path: Path) -> Node:
        match = _WHOLE.match(text)
        where = ".".join(map(str, path))
        if match is None:
            if path and path[0] == "stages" and "prompts" in path:
                return node
            message = f"{shortened(text)!r} mixes text and a reference"
            self._problem("E204", message, node, where, "a reference is the whole value, or none of it")
            return node
        if Reference.matches(text):
            return node
        target = match.group(1)
        if target in self.open:
            self._problem("E202", f"{shortened(text)} refers to itself: {' -> '.join(map(shortened, [*self.open, target]))}", node, where)
            return node
        parts = tree_path(self.root, tuple(target.split(".")))
        found = self.root.get(parts)
        if found is None:
            self._missing(node, parts, where)
            return node
        self.open.append(target)
        copied = self._resolve(found, parts)
        self.open.pop()
        return Node(copied.value, copied.mark, node.key_mark)

    def _missing(self, node: Node, parts: Path, where: str) -> None:
        for length in range(len(parts) if len(self.found) < MAX_FOUND else 0):
            level = self.root.get(parts[:length])
            if level is not None and self.root.get(parts[: length + 1]) is None:
                choices = list(level.value) if isinstance(level.value, dict) else []
                guess = nearest(str(parts[length]), choices)
                inside = ".".join(map(str, parts[:length])) or "the spec"
                better = (*parts[:length], guess or "", *parts[length + 1 :])
                label = f"known here: {listed(choices)}" if choices else ""
                if guess and self.root.get(better) is not None:
                    label = f"did you mean ${{{'.'.join(map(str, better))}}}?"
                self._problem(
                    "E201",
                    f"{shortened(str(node.value))}: there is no {shortened(str(parts[length]))!r} in {shortened(inside)}",
                    node,
                    where,
                    label,
                )
                return

    def _problem(self, code: str, message: str, node: Node, where: str, label: str = "") -> None:
        if len(self.found) < MAX_FOUND:
            self.found.append(Diagnostic(code=code, message=message, path=where, mark=node.mark, label=label))


def _too_much(code: str, message: str, node: Node, path: Path) -> SpecError:
    return SpecError([Diagnostic(code=code, message=message, path=".".join(map(str, path)), mark=node.mark)])
