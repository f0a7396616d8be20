"""From a word to its implementation: the module of the same name in the folder of the same name."""

import importlib
import sys
from types import ModuleType
from typing import Any

from dllm_run.specs.word import Word, family_name


def module_of(word: type[Word]) -> ModuleType:
    """The module that implements a word: `specs/vocabulary/objectives/mdlm.py` has `runtime/objectives/mdlm.py`.

    A word from outside names its own; without a name it is the file of the class.
    """
    if word.implementation:
        return importlib.import_module(word.implementation)
    if not word.__module__.startswith("dllm_run.specs."):
        return sys.modules[word.__module__]
    file = sys.modules[word.__module__].__name__.rpartition(".")[2]
    return importlib.import_module(f"dllm_run.runtime.{family_name(word)}.{file}")


def build(word: Word) -> Any:
    """What the implementation makes of a word; each family's `__init__` says what that is."""
    return module_of(type(word)).build(word)
