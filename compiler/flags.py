"""The flags of the command line: `-s path=value`, the last layer of a spec."""

from dataclasses import dataclass

from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.vocabulary.spec import Spec

from .expand import expand, expand_at
from .node import Node
from .origin import into_reference
from .overlay import assign
from .points import Flag
from .read import read_flag

_EARLY = ("extends", "use")
"""What decides which files are read."""
_ONCE = ("extends", "use", "cases", "sweep", "compare", "version", "name")
"""What acts before points are made, and on all of them."""


@dataclass(frozen=True, slots=True)
class Flags:
    """Paths and values, in the order in which they were given."""

    given: tuple[Flag, ...]

    @classmethod
    def read(cls, texts: tuple[str, ...]) -> "Flags":
        """Read all. Raises SpecError with what is wrong with any."""
        found: list[Flag] = []
        errors: list[Diagnostic] = []
        for text in texts:
            try:
                found.append(read_flag(text))
            except SpecError as error:
                errors.extend(error.diagnostics)
        if errors:
            raise SpecError(errors)
        return cls(tuple(found))

    def early(self, root: Node) -> Node:
        """The file itself with the flags that decide which other files are read."""
        for path, leaf in self.given:
            if path[0] in _EARLY and isinstance(root.value, dict):
                root = assign(root, path, leaf)
        return root

    def on(self, tree: Node) -> Node:
        """The spec with all other flags. Raises SpecError for a path that leads into a reference."""
        errors: list[Diagnostic] = []
        for path, leaf in self.given:
            if path[0] in _EARLY:
                continue
            inside = into_reference(tree, path, leaf)
            if inside is not None:
                errors.append(inside)
            else:
                tree = expand(assign(tree, path, expand_at(tree, Spec, path, leaf)), Spec)
        if errors:
            raise SpecError(errors)
        return tree

    @property
    def late(self) -> tuple[Flag, ...]:
        """The flags that win over what a point sets."""
        return tuple(flag for flag in self.given if flag[0][0] not in _ONCE)
