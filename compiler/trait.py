"""A trait: a value, with the place in the spec that it follows from."""

from typing import Any, NamedTuple

from dllm_run.specs.field import fields_of
from dllm_run.specs.parts import Path, is_vocabulary
from dllm_run.specs.word import Word


class Trait(NamedTuple):
    """A value and the place in the spec that it follows from."""

    value: Any
    path: Path

    @property
    def plain(self) -> Any:
        """The value as rows name it: a word by its name."""
        return self.value.word if isinstance(self.value, Word) else self.value


def stage_of(path: Path) -> str | None:
    """The stage that a path lies in."""
    return path[1] if len(path) > 1 and path[0] == "stages" else None


def below(trait: Trait, path: str) -> Trait:
    """What stands at a dotted path below a trait; None where the path leads nowhere."""
    value, at = trait
    for key in filter(None, path.split(".")):
        at = (*at, key)
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, tuple):
            value = value[int(key)] if key.isdigit() and int(key) < len(value) else None
        elif is_vocabulary(value):
            name = _names(type(value)).get(key)
            value = None if name is None else getattr(value, name)
        else:
            value = None
    return Trait(value, at)


def _names(cls: type) -> dict[str, str]:
    """The fields of a class by their key in YAML."""
    if cls not in _NAMES:
        _NAMES[cls] = {info.key: info.name for info in fields_of(cls)}
    return _NAMES[cls]


_NAMES: dict[type, dict[str, str]] = {}
