"""Words from outside: one Python file that a spec uses, or an installed package that offers them under an entry point."""

import ast
import dataclasses
import hashlib
import importlib
import importlib.metadata
import sys
import types
from collections.abc import Iterator
from typing import NamedTuple

from .field import fields_of
from .word import Word, family_name, family_of, members

GROUP = "dllm_run.words"
"""The entry points that packages offer words under: NAME = "module:Class"."""

HEAVY = frozenset({"torch", "transformers", "accelerate", "datasets", "peft", "deepspeed", "bitsandbytes", "lm_eval", "numpy"})
"""What a file of words imports inside functions only: a spec is checked where none of it is loaded."""


class PluginError(Exception):
    """A file of words that cannot be used; `line` is its own."""

    def __init__(self, message: str, line: int = 1, label: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.label = label


class Installed(NamedTuple):
    """A word that an installed package offers."""

    cls: type[Word]
    module: str
    """`module:Class`."""
    distribution: str
    version: str


def words_in(name: str, data: bytes) -> list[type[Word]]:
    """The words of a file, which is run for it. Raises PluginError."""
    tree = _parsed(name, data)
    for node in _at_import(tree):
        for imported in _imported(node):
            if imported.split(".")[0] in HEAVY or imported.startswith("dllm_run.runtime"):
                text = f"{imported} is imported when the file is read"
                raise PluginError(text, node.lineno, "import it inside the function that needs it")
    sha = hashlib.sha256(data).hexdigest()
    module = _module(name, data, sha)
    found = [
        cls
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Word) and cls.word and cls.__module__ == module.__name__
    ]
    if not found:
        raise PluginError("the file has no word", 1, 'a word is a dataclass below one of dllm_run.specs.vocabulary, with `word = "…"`')
    lines = {node.name: node.lineno for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for cls in found:
        if cls.word in members(family_of(cls)):
            raise PluginError(f"{family_name(cls)} has a word {cls.word!r} already", lines.get(cls.__name__, 1), "give it another name")
        cls.code = sha
        _check(cls, lines.get(cls.__name__, 1), functions)
    return found


def installed() -> Iterator[Installed]:
    """Every word that installed packages offer. Raises PluginError for one that cannot be loaded."""
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            cls = point.load()
        except (ImportError, AttributeError) as error:
            raise PluginError(f"the word {point.name!r} of {point.value} cannot be loaded: {error}") from None
        if not (isinstance(cls, type) and issubclass(cls, Word) and cls.word):
            raise PluginError(f"{point.value}, offered as the word {point.name!r}, is no word of dllm-run")
        if cls.word not in members(family_of(cls)):
            distribution = point.dist
            yield Installed(cls, point.value, distribution.name if distribution else "", distribution.version if distribution else "")


def _parsed(name: str, data: bytes) -> ast.Module:
    try:
        return ast.parse(data, name)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) and error.lineno else 1
        raise PluginError(f"the file is not Python: {error.msg if isinstance(error, SyntaxError) else error}", line) from None


def _at_import(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that run when the file is read: not those in functions, and not those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or _for_types(node):
            continue
        if isinstance(node, ast.stmt):
            yield node
        yield from _at_import(node)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [item.name for item in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def _module(name: str, data: bytes, sha: str) -> types.ModuleType:
    """The file as a module. Its name holds its content, so that two versions can live side by side."""
    stem = name.rpartition("/")[2].removesuffix(".py")
    title = f"dllm_run_use.{stem}_{sha[:12]}"
    known = sys.modules.get(title)
    if known is not None:
        return known
    module = types.ModuleType(title)
    module.__file__ = name
    sys.modules[title] = module
    try:
        exec(compile(data, name, "exec"), module.__dict__)
    except Exception as error:  # noqa: BLE001 - what a user's file raises is the user's to know, not a crash of ours
        del sys.modules[title]
        raise PluginError(f"reading the file raised {type(error).__name__}: {error}", _line_in(name, error)) from None
    return module


def _line_in(name: str, error: BaseException) -> int:
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _check(cls: type[Word], line: int, functions: set[str]) -> None:
    family = family_name(cls)
    if family == "launchers":
        raise PluginError(f"{cls.__name__}: launchers cannot come from a file", line)
    parameters = getattr(cls, "__dataclass_params__", None)
    if "__dataclass_fields__" not in vars(cls) or parameters is None or not parameters.frozen:
        raise PluginError(f"{cls.__name__} is no frozen dataclass", line, "@dataclass(frozen=True, slots=True, kw_only=True)")
    bare = [field.name for field in dataclasses.fields(cls) if "leaf" not in field.metadata]
    if bare:
        raise PluginError(f"{cls.__name__}.{bare[0]} does not say what it means", line, f'{bare[0]}: … = leaf("What it means.", …)')
    try:
        fields_of(cls)
    except TypeError as error:
        raise PluginError(f"{cls.__name__}: {error}", line) from None
    entry = "run" if family == "stages" else "build"
    if not cls.implementation and entry not in functions:
        raise PluginError(f"the file does not implement {cls.word!r}", line, f"a function `{entry}` beside the class does")
