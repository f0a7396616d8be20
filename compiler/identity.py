"""The id of a stage: what is computed, and nothing else. Names, places and rounding never enter."""

import hashlib
from collections.abc import Callable
from typing import Any

from dllm_run.specs.canonical import canonical
from dllm_run.specs.inventory import Inventory
from dllm_run.specs.plan import InputRecord
from dllm_run.specs.texts import Texts
from dllm_run.specs.vocabulary.stages import Stage

RecordOf = Callable[[str, str], InputRecord]
"""(locator, `data` or `model`) -> record."""


def stage_id(body: Stage, inventory: Inventory, record_of: RecordOf, texts: Texts) -> str:
    """sha256 over result leaves (references are ids by now), the content of inputs and the versions of words; 16 hex of it."""
    contents = {path: _content(record_of(text, what), what) for path, text, what in inventory.inputs}
    text = f"{texts.results(body, contents)}{canonical(dict(inventory.words))}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(record: InputRecord, what: str) -> Any:
    if not record.resolved:
        return {"unresolved": record.locator, "revision": record.revision}
    if what == "model":
        return {"files": record.files}
    # Of data only the bytes and the kind of file matter: a renamed corpus is the same corpus.
    return {"content": [[name.rpartition(".")[2], sha] for name, sha in record.files.items()]}
