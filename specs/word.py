"""Words and their families: a family is a folder of the vocabulary, a word is one class in one file of it, or comes from outside."""

import contextlib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
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
    implementation: ClassVar[str] = ""
    """The module that implements a word from outside this package; empty: the file of its class."""
    package: ClassVar[str] = ""
    """The Python package that the word needs and that dllm-run does not bring; empty: none."""
    brought_by: ClassVar[str] = ""
    """The extra of dllm-run that brings it."""
    code: ClassVar[str] = ""
    """sha256 of the file that a word in `use` was read from: another code, another result."""


_MEMBERS: dict[type, dict[str, type[Word]]] = {}


_IN_USE: list[type[Word]] = []
"""Words from outside that count just now: `using` is a frame around everything that reads or writes them by name."""


def members(base: type[Word]) -> dict[str, type[Word]]:
    """The words of a family by name: those of its folder, each module of which is read once, and those in use from outside."""
    if base not in _MEMBERS:
        _MEMBERS[base] = _read_members(base)
    if not _IN_USE:
        return _MEMBERS[base]
    return {**_MEMBERS[base], **{cls.word: cls for cls in _IN_USE if issubclass(cls, base)}}


@contextlib.contextmanager
def using(words: Iterable[type[Word]]) -> Iterator[None]:
    """Let words from outside count as members of their families."""
    before = list(_IN_USE)
    _IN_USE.extend(cls for cls in words if cls not in _IN_USE)
    try:
        yield
    finally:
        _IN_USE[:] = before


def in_use() -> tuple[type[Word], ...]:
    """The words from outside that count just now."""
    return tuple(_IN_USE)


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


def family_of(cls: type[Word]) -> type[Word]:
    """The base of the family that a word, or a base below it, belongs to."""
    bases = [base for base in cls.__mro__ if issubclass(base, Word) and base is not Word and not base.word]
    return bases[-1]


def family_name(cls: type[Word]) -> str:
    """The folder of a word or of a family's base: `objectives`, `samplers`, …"""
    return family_of(cls).__module__.rpartition(".")[2]
