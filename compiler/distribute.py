"""What stands at the top of a spec handed to its stages: compute and launch merge, a model and a log are taken whole."""

from collections.abc import Callable

from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.word import members

from .node import Node
from .overlay import merge


class Distribution:
    """Completes stages, each once for the same stage under the same top."""

    def __init__(self, profiled: Callable[[Node], Node]) -> None:
        self._profiled = profiled
        """Lays a launch over its profile."""
        self._done: dict[tuple[int, ...], tuple[tuple[Node, ...], Node]] = {}

    def distribute(self, root: Node) -> Node:
        """The tree in which every stage holds its own compute, launch and, where its kind has them, model and log. Raises SpecError."""
        assert isinstance(root.value, dict)
        top = dict(root.value)
        if "launch" in top:
            top["launch"] = self._profiled(top["launch"])
        stages = top.get("stages")
        if stages is None or not isinstance(stages.value, dict):
            return Node(top, root.mark)
        above = tuple(top[key] for key in ("compute", "launch", "model", "log") if key in top)
        new = {name: self._stage(stage, top, above) for name, stage in stages.value.items()}
        return Node({**top, "stages": Node(new, stages.mark, stages.key_mark)}, root.mark)

    def _stage(self, stage: Node, top: dict[str, Node], above: tuple[Node, ...]) -> Node:
        key = (id(stage), *map(id, above))
        if key not in self._done:
            self._done[key] = ((stage, *above), self._complete(stage, top))
        return self._done[key][1]

    def _complete(self, stage: Node, top: dict[str, Node]) -> Node:
        if not isinstance(stage.value, dict):
            return stage
        value = dict(stage.value)
        if "launch" in value:
            value["launch"] = self._profiled(value["launch"])
        for key in ("compute", "launch"):
            if key in top:
                value[key] = merge(top[key], value[key]) if key in value else top[key]
        kind = value.get("kind")
        cls = members(Stage).get(kind.value) if kind is not None and isinstance(kind.value, str) else None
        if cls is not None and issubclass(cls, Stage):
            for key, takes in (("model", cls.inherits_model), ("log", cls.logs)):
                if takes and key not in value and key in top:
                    value[key] = top[key]
        return Node(value, stage.mark, stage.key_mark)
