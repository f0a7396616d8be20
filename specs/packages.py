"""Packages that words need and that dllm-run does not bring: which of them are not here."""

from collections.abc import Iterable
from importlib.util import find_spec

from .inventory import Inventories
from .vocabulary.stages import Stage
from .word import Word


def missing_packages(stages: Iterable[Stage]) -> list[str]:
    """A sentence with the cure for every word of these stages whose package is not installed."""
    inventories = Inventories()
    found: dict[str, None] = {}
    for stage in stages:
        for _, word in inventories.of(stage).objects:
            if isinstance(word, Word) and word.package and find_spec(word.package) is None:
                found[f"{word.word} needs the package {word.package}, which is not here: `pip install 'dllm-run[{word.brought_by}]'`"] = (
                    None
                )
    return list(found)
