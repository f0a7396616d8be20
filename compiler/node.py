"""The tree of a spec before it has types: plain values that remember where they were written."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dllm_run.specs.errors import Mark

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]
Plain = dict[int, tuple[object, Any]]
"""Identity of a collection of nodes, to that collection, which stays alive with it, and its bare value."""


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a map or a list with the place of its value and, inside a map, of its key. Never changed, only replaced."""

    value: "Scalar | dict[str, Node] | list[Node]"
    mark: Mark
    key_mark: Mark | None = None
    before: "Node | None" = field(default=None, compare=False, repr=False)
    """What this value replaced when trees were merged."""

    def plain(self, memo: "Plain | None" = None) -> Any:
        """The bare value, without marks. With a `memo` the very same map gives the very same map."""
        if not isinstance(self.value, (dict, list)):
            return self.value
        known = memo.get(id(self.value)) if memo is not None else None
        if known is not None:
            return known[1]
        if isinstance(self.value, dict):
            found: Any = {key: child.plain(memo) for key, child in self.value.items()}
        else:
            found = [child.plain(memo) for child in self.value]
        if memo is not None:
            memo[id(self.value)] = (self.value, found)
        return found

    def get(self, path: Path) -> "Node | None":
        """The node at `path` below this one, or None."""
        node: Node = self
        for part in path:
            here = node.value
            if isinstance(here, dict) and isinstance(part, str) and part in here:
                node = here[part]
            elif isinstance(here, list) and isinstance(part, int) and 0 <= part < len(here):
                node = here[part]
            else:
                return None
        return node

    def get_text(self, path: tuple[str, ...]) -> "Node | None":
        """The same for a path of texts, as users write it: positions in lists are digits."""
        node: Node | None = self
        for part in path:
            if node is None:
                return None
            node = node.get((int(part) if part.isdigit() and isinstance(node.value, list) else part,))
        return node

    def nearest(self, path: Path) -> "Node":
        """The deepest node that exists on the way to `path`."""
        node: Node = self
        for length in range(1, len(path) + 1):
            found = self.get(path[:length])
            if found is None:
                break
            node = found
        return node

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, "Node"]]:
        """Every node with its path, this one first."""
        yield path, self
        if isinstance(self.value, dict):
            for key, child in self.value.items():
                yield from child.walk((*path, key))
        elif isinstance(self.value, list):
            for index, child in enumerate(self.value):
                yield from child.walk((*path, index))
