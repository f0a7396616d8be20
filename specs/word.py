"""Words and their families: a family is a folder of the vocabulary, a word is one class in one file of it."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import ClassVar

from .compatibility import Compatible


@dataclass(frozen=True, slots=True, kw_only=True)
class Word(Compatible):
    """Base of every family. A subclass with `word` set is a word; one without is the base of a family."""

    word: ClassVar[str] = ""
    tag: ClassVar[str] = "type"
    """The key in YAML that names the word."""
    semantics: ClassVar[int] = 1
    """Raised when the same fields come to mean another computation; part of every identity that uses the word."""
    shorthand: ClassVar[str] = "type"
    """The key that a bare scalar stands for."""


_MEMBERS: dict[type, dict[str, type[Word]]] = {}


def members(base: type[Word]) -> dict[str, type[Word]]:
    """The words of a family by name: every module of the package that the base class lives in is read once."""
    if base not in _MEMBERS:
        _MEMBERS[base] = _read_members(base)
    return _MEMBERS[base]


def _read_members(base: type[Word]) -> dict[str, type[Word]]:
    package = importlib.import_module(base.__module__)
    found: dict[str, type[Word]] = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{base.__module__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, base) and value.word and value.__module__ == module.__name__:
                found[value.word] = value
    return dict(sorted(found.items()))


def is_family(cls: type) -> bool:
    """Whether `cls` is the base of a family, so that a value must name its word."""
    return issubclass(cls, Word) and not cls.word


def family_name(cls: type[Word]) -> str:
    """The folder of a word or of a family's base: `objectives`, `samplers`, …"""
    parts = cls.__module__.split(".")
    return parts[-2] if cls.word else parts[-1]
