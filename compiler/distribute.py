"""What stands at the top of a spec handed to its stages: compute and launch merge, a model is taken whole."""

from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.word import members

from .node import Node
from .overlay import merge


def distribute(root: Node) -> Node:
    """The tree in which every stage holds its own compute, launch and, where its kind has one, model."""
    assert isinstance(root.value, dict)
    stages = root.value.get("stages")
    if stages is None or not isinstance(stages.value, dict):
        return root
    new = {name: _complete(stage, root.value) for name, stage in stages.value.items()}
    return Node({**root.value, "stages": Node(new, stages.mark, stages.key_mark)}, root.mark)


def _complete(stage: Node, top: dict[str, Node]) -> Node:
    if not isinstance(stage.value, dict):
        return stage
    value = dict(stage.value)
    for key in ("compute", "launch"):
        if key in top:
            value[key] = merge(top[key], value[key]) if key in value else top[key]
    kind = value.get("kind")
    cls = members(Stage).get(kind.value) if kind is not None and isinstance(kind.value, str) else None
    if cls is not None and issubclass(cls, Stage) and cls.inherits_model and "model" not in value and "model" in top:
        value["model"] = top["model"]
    return Node(value, stage.mark, stage.key_mark)
