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

Signature = tuple[tuple[str, int], ...]


def resolve(root: Node) -> tuple[Node, list[Diagnostic]]:
    """The tree with every copying reference replaced, and what was wrong with some of them."""
    return References().resolve(root)


class References:
    """Resolves trees that have much in common: a part is done once for the same part with the same targets."""

    def __init__(self) -> None:
        self._targets: dict[int, tuple[Node, frozenset[str]]] = {}
        self._done: dict[tuple[int, Signature], tuple[Node, Node]] = {}
        self._alive: dict[int, Node] = {}

    def resolve(self, root: Node) -> tuple[Node, list[Diagnostic]]:
        """The tree with every copying reference replaced, and what was wrong with some of them."""
        resolver = _Resolver(root, self)
        return resolver.run(), resolver.found

    def targets(self, node: Node) -> frozenset[str]:
        """What the copying references below a node name, with texts that mix one with other things as they are."""
        value = node.value
        if isinstance(value, str):
            return _target(value)
        if not isinstance(value, (dict, list)):
            return _NONE
        known = self._targets.get(id(node))
        if known is None:
            children = value.values() if isinstance(value, dict) else value
            found = frozenset().union(*(self.targets(child) for child in children)) if children else _NONE
            known = self._targets[id(node)] = (node, found or _NONE)
        return known[1]

    def signature(self, root: Node, targets: frozenset[str]) -> Signature:
        """The nodes that targets mean in a tree, and those that these need in turn, by identity."""
        found: dict[str, int] = {}
        waiting = list(targets)
        while waiting:
            target = waiting.pop()
            if target in found:
                continue
            node = root.get(tree_path(root, tuple(target.split("."))))
            found[target] = 0 if node is None else id(node)
            if node is not None:
                self._alive[id(node)] = node
                waiting.extend(self.targets(node))
        return tuple(sorted(found.items()))

    def known(self, node: Node, signature: Signature) -> Node | None:
        """The node as it was resolved before with the same targets."""
        done = self._done.get((id(node), signature))
        return None if done is None else done[1]

    def remember(self, node: Node, signature: Signature, resolved: Node) -> None:
        """Keep what a node was resolved to."""
        self._done[id(node), signature] = (node, resolved)


_NONE: frozenset[str] = frozenset()


def _target(text: str) -> frozenset[str]:
    if "${" not in text or Reference.matches(text):
        return _NONE
    match = _WHOLE.match(text)
    return frozenset((text if match is None else match.group(1),))


class _Resolver:
    def __init__(self, root: Node, shared: References) -> None:
        self.root = root
        self.shared = shared
        self.found: list[Diagnostic] = []
        self.open: list[str] = []
        self.depth = 0
        self.count = 0

    def run(self) -> Node:
        """The resolved tree. Sections of the top, and stages, are what points share."""
        assert isinstance(self.root.value, dict)
        value = {}
        for key, child in self.root.value.items():
            if key == "stages" and isinstance(child.value, dict):
                stages = {name: self._section(stage, (key, name)) for name, stage in child.value.items()}
                value[key] = self._same_or_new(child, stages)
            else:
                value[key] = self._section(child, (key,))
        return self._same_or_new(self.root, value)

    def _same_or_new(self, node: Node, value: dict[str, Node]) -> Node:
        assert isinstance(node.value, dict)
        same = all(value[key] is child for key, child in node.value.items())
        return node if same else Node(value, node.mark, node.key_mark)

    def _section(self, node: Node, path: Path) -> Node:
        targets = self.shared.targets(node)
        if not targets:
            return node
        signature = self.shared.signature(self.root, targets)
        known = self.shared.known(node, signature)
        if known is not None:
            return known
        before = len(self.found)
        self.depth = len(path)
        resolved = self._resolve(node, path)
        if len(self.found) == before:
            self.shared.remember(node, signature, resolved)
        return resolved

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
            value = {key: self._resolve(child, (*path, key)) if self.shared.targets(child) else child for key, child in node.value.items()}
            return self._same_or_new(node, value)
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
