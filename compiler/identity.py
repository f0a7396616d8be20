"""The id of a stage: what is computed, and nothing else. Names, places and rounding never enter."""

from collections.abc import Callable
from typing import Any

from dllm_run.specs.canonical import digest
from dllm_run.specs.effect import Effect
from dllm_run.specs.leaves import Path, leaves
from dllm_run.specs.locator import is_task_file
from dllm_run.specs.parts import parts, words_of
from dllm_run.specs.plan import InputRecord
from dllm_run.specs.vocabulary.stages import Stage

RecordOf = Callable[[str, str], InputRecord]
"""(locator, `data` or `model`) -> record."""


def inputs_of(body: Stage) -> dict[str, str]:
    """Locators that a stage reads, with what they are: `data` or `model`."""
    return dict(located(body).values())


def located(body: Stage) -> dict[Path, tuple[str, str]]:
    """Paths of the texts that name inputs, with the text and what it locates."""
    found = {}
    for part in parts(body):
        what = part.leaf.locates if part.leaf is not None else None
        if what is not None and isinstance(part.value, str) and (what != "task" or is_task_file(part.value)):
            found[part.path] = (part.value, what)
    return found


def counted(body: Stage, record_of: RecordOf) -> dict[Path, Any]:
    """What counts of a stage: its result leaves (references are ids by now), inputs by their content."""
    inputs = located(body)
    found = {path: value for path, value, effect in leaves(body) if effect is Effect.RESULT}
    return {path: content(record_of(*inputs[path]), inputs[path][1]) if path in inputs else value for path, value in found.items()}


def stage_id(body: Stage, record_of: RecordOf) -> str:
    """sha256 over what counts and the versions of words; 16 hex of it."""
    found = [[list(path), value] for path, value in counted(body, record_of).items()]
    return digest({"leaves": sorted(found), "words": words_of(body)})[:16]


def content(record: InputRecord, what: str) -> Any:
    """What counts of an input."""
    if not record.resolved:
        return {"unresolved": record.locator, "revision": record.revision}
    if what == "model":
        return {"files": record.files}
    # Of data only the bytes and the kind of file matter: a renamed corpus is the same corpus.
    return {"content": [[name.rpartition(".")[2], sha] for name, sha in record.files.items()]}
