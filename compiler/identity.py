"""The id of a stage: what is computed, and nothing else. Names, places and rounding never enter."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from dllm_run.specs.canonical import canonical
from dllm_run.specs.inventory import Inventory
from dllm_run.specs.parts import Path
from dllm_run.specs.plan import InputRecord
from dllm_run.specs.reference import Reference
from dllm_run.specs.texts import Texts
from dllm_run.specs.vocabulary.stages import Stage

RecordOf = Callable[[str, str], InputRecord]
"""(locator, `data` or `model`) -> record."""


def own_text(body: Stage, inventory: Inventory, record_of: RecordOf, texts: Texts) -> str:
    """What a stage computes by itself: its result leaves, the content of its inputs and the versions of its words."""
    contents = {path: _content(record_of(text, what), what) for path, text, what in inventory.inputs}
    return f"{texts.results(body, contents)}{canonical(dict(inventory.words))}"


def stage_id(own: str, edges: Mapping[Path, Reference]) -> str:
    """sha256 over what a stage computes by itself and the ids of the stages that it reads, by path; 16 hex of it."""
    read = sorted(f"{'.'.join(path)}={edge.stage}.{edge.output}" for path, edge in edges.items())
    return hashlib.sha256("\n".join([own, *read]).encode()).hexdigest()[:16]


def _content(record: InputRecord, what: str) -> Any:
    if not record.resolved:
        return {"unresolved": record.locator, "revision": record.revision}
    if what == "model":
        return {"files": record.files}
    # Of data only the bytes and the kind of file matter: a renamed corpus is the same corpus.
    return {"content": [[name.rpartition(".")[2], sha] for name, sha in record.files.items()]}
