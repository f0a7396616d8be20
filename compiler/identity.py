"""The id of a stage: what is computed, and nothing else. Names, places and rounding never enter."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from dllm_run.specs.effect import Effect
from dllm_run.specs.inventory import Inventories, Inventory
from dllm_run.specs.leaves import Path, leaves
from dllm_run.specs.parts import replaced
from dllm_run.specs.plan import InputRecord
from dllm_run.specs.reference import Reference
from dllm_run.specs.texts import Texts
from dllm_run.specs.vocabulary.stages import Stage

RecordOf = Callable[[str, str], InputRecord]
"""(locator, `data` or `model`) -> record."""


def own_text(body: Stage, inventory: Inventory, record_of: RecordOf, texts: Texts) -> str:
    """What a stage computes by itself: its result leaves, the content of its inputs and the versions of its words."""
    contents = {item.path: content(record_of(item.text, item.what), item.what) for item in inventory.inputs}
    contents.update(dict.fromkeys(item.revision for item in inventory.inputs if item.revision is not None))
    return f"{texts.results(body, contents)}{inventory.words!r}"


def stage_id(own: str, edges: Mapping[Path, Reference]) -> str:
    """sha256 over what a stage computes by itself and the ids of the stages that it reads, by path; 16 hex of it."""
    read = sorted(f"{'.'.join(path)}={edge.stage}.{edge.output}" for path, edge in edges.items())
    return hashlib.sha256("\n".join([own, *read]).encode()).hexdigest()[:16]


def planned_id(body: Stage, record_of: RecordOf) -> str:
    """The id of a stage as a plan has it, its references ids already."""
    inventory = Inventories().of(body)
    edges = {edge.path: edge.reference for edge in inventory.edges}
    bare = replaced(body, {path: Reference("", edge.output) for path, edge in edges.items()})
    return stage_id(own_text(bare, inventory, record_of, Texts()), edges)


def located(body: Stage) -> dict[Path, tuple[str, str]]:
    """Paths of the texts that name inputs, with the text and what it locates."""
    return {item.path: (item.text, item.what) for item in Inventories().of(body).inputs}


def revisions(body: Stage) -> dict[Path, Path]:
    """Places of revisions on a hub, given or not, with the place of what they are revisions of."""
    return {item.revision: item.path for item in Inventories().of(body).inputs if item.revision is not None}


def counted(body: Stage, record_of: RecordOf) -> dict[Path, Any]:
    """What counts of a stage: its result leaves (references are ids by now), inputs by their content."""
    inputs, beside = located(body), revisions(body)
    found = {path: value for path, value, effect in leaves(body) if effect is Effect.RESULT and path not in beside}
    return {path: content(record_of(*inputs[path]), inputs[path][1]) if path in inputs else value for path, value in found.items()}


def content(record: InputRecord, what: str) -> Any:
    """What counts of an input."""
    if not record.resolved:
        return {"unresolved": record.locator, "revision": record.revision}
    if what == "model":
        return {"files": record.files}
    # Of data only the bytes and the kind of file matter: a renamed corpus is the same corpus.
    return {"content": [[name.rpartition(".")[2], sha] for name, sha in record.files.items()]}
