"""Words from outside that a spec uses: from files named in `use`, or from installed packages."""

from dataclasses import dataclass, field

from dllm_run.specs.errors import Diagnostic, Mark, SpecError
from dllm_run.specs.plan import PluginRecord, kept_name
from dllm_run.specs.plugin import Installed, PluginError, installed, words_in
from dllm_run.specs.word import Word, family_name

from .layers import Layers
from .node import Node


@dataclass(slots=True)
class Plugins:
    """Finds the words, and says afterwards where those came from that a plan needs."""

    layers: Layers
    _files: dict[str, list[type[Word]]] = field(default_factory=dict)
    _packages: list[Installed] = field(default_factory=list)

    def used(self, tree: Node) -> list[type[Word]]:
        """The words of the files in `use`. Raises SpecError with everything that is wrong with any of them."""
        named = tree.get(("use",))
        items = named.value if named is not None and isinstance(named.value, list) else []
        found: list[Diagnostic] = []
        for node in items:
            if isinstance(node.value, str):
                found.extend(self._file(node, node.value))
        if found:
            raise SpecError(found)
        return [word for words in self._files.values() for word in words]

    def offered(self) -> list[type[Word]]:
        """The words that installed packages offer; nothing the second time. Raises SpecError for one that cannot be loaded."""
        if self._packages:
            return []
        try:
            self._packages = list(installed())
        except PluginError as error:
            raise SpecError([Diagnostic(code="E130", message=str(error))]) from None
        return [item.cls for item in self._packages]

    def records(self, words: set[str]) -> tuple[PluginRecord, ...]:
        """Where those of `words` come from that come from outside."""
        found = [_record(cls, kept_name(path), "", cls.code) for path, classes in self._files.items() for cls in classes]
        found += [_record(item.cls, item.module, item.distribution, item.version) for item in self._packages]
        return tuple(sorted((record for record in found if record.word in words), key=lambda record: record.word))

    def _file(self, node: Node, text: str) -> list[Diagnostic]:
        path = self.layers.seen_from_spec(text, node.mark)
        if path in self._files:
            return []
        data = self.layers.bytes_of(path, node, "use")
        try:
            self._files[path] = words_in(self.layers.shown(path), data)
        except PluginError as error:
            lines = data.decode(errors="replace").splitlines()
            source = lines[error.line - 1] if 0 < error.line <= len(lines) else ""
            indent = len(source) - len(source.lstrip())
            mark = Mark(self.layers.shown(path), error.line, indent + 1, max(1, len(source.strip())), source)
            return [Diagnostic(code="E130", message=str(error), mark=mark, label=error.label, related=((node.mark, "used here"),))]
        return []


def _record(cls: type[Word], source: str, distribution: str, version: str) -> PluginRecord:
    word = f"{family_name(cls)}/{cls.word}"
    return PluginRecord(word=word, source=source, distribution=distribution, version=version, semantics=cls.semantics)
