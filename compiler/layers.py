"""The files of a spec laid over each other: what it extends, left to right, then the spec itself; a launch over its profile."""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dllm_run.specs.errors import Diagnostic, Mark, SpecError
from dllm_run.specs.vocabulary.spec import Spec

from .expand import expand
from .node import Node
from .overlay import merge
from .read import read

RECIPE = "recipe:"
_LONGEST = 20
"""Files that may build on each other."""

ReadFile = Callable[[str], bytes]
"""The bytes of a file by its path from the spec's folder, or of recipe:NAME. Raises OSError, and KeyError with a hint for a recipe."""


@dataclass(slots=True)
class Layers:
    """Reads the files that a spec builds on, and remembers their bytes: they belong to what was compiled."""

    file: str
    """The spec, as diagnostics name it."""
    read_file: ReadFile
    found: dict[str, bytes] = field(default_factory=dict)
    """By path from the spec's folder."""
    _profiles: dict[tuple[str, int], tuple[Node, Node]] = field(default_factory=dict)

    def tree(self, root: Node) -> Node:
        """The spec laid over what it extends, shorthands written out. Raises SpecError."""
        return self._tree(root, "", ())

    def shown(self, path: str) -> str:
        """A file as diagnostics name it."""
        if path.startswith((RECIPE, "/", "~")):
            return path
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.file), path)) if path else self.file

    def home(self, place: Mark) -> str:
        """The folder of the file that wrote something, from the spec's folder; empty for the spec itself."""
        for path in self.found:
            if self.shown(path) == place.file:
                return "" if path.startswith(RECIPE) else posixpath.dirname(path)
        return ""

    def _tree(self, root: Node, path: str, open_files: tuple[str, ...]) -> Node:
        if not isinstance(root.value, dict):
            mark = root.mark
            raise SpecError([Diagnostic(code="E104", message="a spec is a map, with version, name and stages", mark=mark)])
        base: Node | None = None
        found: list[Diagnostic] = []
        named = root.value.get("extends")
        for node in _texts(named):
            try:
                below = self._extended(node, path, open_files)
            except SpecError as error:
                found.extend(error.diagnostics)
                continue
            base = below if base is None else merge(base, below)
        if found:
            raise SpecError(found)
        own = Node({key: child for key, child in root.value.items() if key != "extends" or not _texts(named)}, root.mark)
        if base is None:
            return expand(own, Spec)
        return expand(merge(base, expand(own, Spec, base)), Spec)

    def _extended(self, node: Node, path: str, open_files: tuple[str, ...]) -> Node:
        target = self._joined(path, str(node.value))
        if target in open_files or len(open_files) >= _LONGEST:
            chain = " -> ".join([*open_files, target])
            raise _refusal("E121", f"the files extend each other in a circle: {chain}", node)
        return self._tree(self._read(target, node, "extends"), target, (*open_files, target))

    def profiled(self, launch: Node) -> Node:
        """A launch laid over the profile that it names. Raises SpecError."""
        named = launch.value.get("profile") if isinstance(launch.value, dict) else None
        if named is None or not isinstance(named.value, str):
            return launch
        key = (named.value, id(launch))
        if key not in self._profiles:
            profile = self._profile(named.value, named)
            own, its = launch.get(("type",)), profile.get(("type",))
            if own is not None and its is not None and own.value != its.value:
                label = f"leave `type` out, or write another profile: this one is for {its.value}"
                item = _refusal("E123", f"the launch is {own.value}, its profile is for {its.value}", own, label).diagnostics[0]
                raise SpecError([replace(item, related=((its.mark, "in the profile"),))])
            self._profiles[key] = (launch, merge(profile, launch))
        return self._profiles[key][1]

    def _profile(self, name: str, node: Node) -> Node:
        root = self._read(name if "/" in name or name.endswith((".yaml", ".yml")) else f"profiles/{name}.yaml", node, "launch.profile")
        if not isinstance(root.value, dict):
            raise SpecError([Diagnostic(code="E104", message="a profile is a map of the keys of `launch`", mark=root.mark)])
        if "profile" in root.value:
            raise _refusal("E121", "a profile cannot name another one", root.value["profile"])
        return root

    def seen_from_spec(self, text: str, place: Mark) -> str:
        """A path as some file wrote it, from the spec's folder."""
        return self._joined(posixpath.join(self.home(place), "x"), text)

    def bytes_of(self, path: str, node: Node, what: str) -> bytes:
        """The bytes of a further file, which now belong to what is compiled. Raises SpecError at the node that names it."""
        if path not in self.found:
            try:
                self.found[path] = self.read_file(path)
            except KeyError as error:
                raise _refusal("E120", f"{what}: there is no {path}", node, str(error.args[0])) from None
            except OSError as error:
                raise _refusal("E120", f"{what}: {self.shown(path)} cannot be read: {error.strerror}", node) from None
        return self.found[path]

    def _joined(self, path: str, target: str) -> str:
        if target.startswith((RECIPE, "/", "~")):
            return target
        if path.startswith(RECIPE):
            return RECIPE + posixpath.normpath(posixpath.join(posixpath.dirname(path.removeprefix(RECIPE)), target)).removesuffix(".yaml")
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))

    def _read(self, path: str, node: Node, what: str) -> Node:
        return read(self.bytes_of(path, node, what), self.shown(path))


def _texts(node: Node | None) -> list[Node]:
    """The items of a list of texts; nothing where it is something else, which the schema reports."""
    items = node.value if node is not None and isinstance(node.value, list) else []
    return items if all(isinstance(item.value, str) for item in items) else []


def _refusal(code: str, message: str, node: Node, label: str = "") -> SpecError:
    item = Diagnostic(code=code, message=message, mark=node.mark)
    return SpecError([replace(item, label=label) if label else item])
