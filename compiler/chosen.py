"""Whether a value of a planned stage was chosen by somebody, or is a default, or was solved by the compiler."""

from typing import Any

from dllm_run.specs.codec import encode
from dllm_run.specs.field import fields_of
from dllm_run.specs.leaves import Path
from dllm_run.specs.parts import is_vocabulary, parts, replaced
from dllm_run.specs.vocabulary.stages import Stage


def is_default(body: Stage, path: Path) -> bool:
    """Whether the value at `path` is a default, its own or that of something that holds it."""
    holders = [part for part in parts(body) if is_vocabulary(part.value) and part.path == path[: len(part.path)]]
    return any(
        not info.required and encode(getattr(holder.value, info.name)) == encode(info.default)
        for holder in holders
        for info in fields_of(type(holder.value))
        if path[: len(holder.path) + 1] == (*holder.path, info.key)
    )


def is_solved(body: Stage, path: Path) -> bool:
    """Whether the compiler, had nothing been written at `path`, would have put there what is there."""
    holder: Any = next((part.value for part in parts(body) if part.path == path[:-1]), None)
    if not path or not is_vocabulary(holder):
        return False
    info = next((info for info in fields_of(type(holder)) if info.key == path[-1]), None)
    if info is None or not info.shape.nullable or info.required or info.default is not None:
        return False
    value = getattr(holder, info.name)
    bare: Stage = replaced(body, {path: None})
    return any(part.path == path and part.value == value for part in parts(bare.completed()))
