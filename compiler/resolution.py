"""From the tree of a point to a typed spec: references, the top handed down, templates, types. Points share what they have in common."""

from dllm_run.specs.codec import Memo
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.vocabulary.spec import Spec

from .distribute import Distribution
from .expand import Done, expand
from .layers import Layers
from .node import Node, Plain
from .overlay import at_path
from .references import References
from .relocate import relocate
from .templates import Templates
from .validate import typed


class Resolution:
    """Resolves the trees of points, each part once for the same part."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.references = References()
        self._distribution = Distribution(layers.profiled)
        self._templates = Templates()
        self._expanded: Done = {}
        self._sections: dict[int, tuple[Node, Node]] = {}
        self._plain: Plain = {}
        self._typed: Memo = {}

    def resolve(self, tree: Node) -> tuple[Node, list[Diagnostic]]:
        """The complete tree, and what was wrong with references and templates in it. Raises SpecError for files that cannot be read."""
        root, found = self.references.resolve(tree)
        root = self._distribution.distribute(root)
        root = self._finished(root)
        if found:
            return root, found
        return self._templates.fill(root)

    def typed(self, root: Node) -> Spec:
        """The spec as vocabulary objects. Raises SpecError with every misfit of the whole tree."""
        return typed(root, self._plain, self._typed)

    def _finished(self, root: Node) -> Node:
        """With shorthands written out that references brought, and paths as the spec would write them; section by section."""
        assert isinstance(root.value, dict)
        value = {}
        for key, child in root.value.items():
            if key == "stages" and isinstance(child.value, dict):
                stages = {name: self._section(stage, ("stages", name)) for name, stage in child.value.items()}
                value[key] = Node(stages, child.mark, child.key_mark)
            else:
                value[key] = self._section(child, (key,))
        return Node(value, root.mark)

    def _section(self, node: Node, path: tuple[str, ...]) -> Node:
        known = self._sections.get(id(node))
        if known is None:
            whole = expand(at_path(path, node), Spec, None, self._expanded)
            done = relocate(whole, Spec, self.layers.home) if self.layers.found else whole
            found = done.get(path)
            assert found is not None
            known = self._sections[id(node)] = (node, Node(found.value, found.mark, node.key_mark))
        return known[1]
