"""Everything that is wrong with a tree which does not fit the language, each mistake told once and none that only follows."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from dllm_run.specs.codec import DecodeError, decode
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.vocabulary.spec import Spec

from .check import check, mark_of
from .correct import Corrected, correct
from .distribute import distribute
from .expand import expand
from .lower import edge_problems
from .node import Node
from .origin import told_once, written
from .read import MAX_FOUND
from .references import resolve
from .validate import schema_diagnostics

_MAX_COPIES = 10 * MAX_FOUND


def misfits(tree: Node) -> list[Diagnostic]:
    """Findings on the expanded tree of one point: those of its form; those of its meaning too, where its form has nothing but typos."""
    corrected = correct(tree)
    if len(corrected.found) >= MAX_FOUND:
        return corrected.found
    root, problems = resolve(corrected.tree)
    root = distribute(expand(root, Spec))
    found = (item for item in islice(schema_diagnostics(root), _MAX_COPIES) if not _follows(item, corrected))
    form = [_without_cure(item, corrected) for item in [*problems, *told_once(found, corrected.tree)]]
    if corrected.found and not form and not corrected.doubtful:
        form = [_without_cure(item, corrected) for item in _meaning(root, corrected.tree)]
    return [*corrected.found, *form]


def _meaning(root: Node, tree: Node) -> Iterator[Diagnostic]:
    try:
        spec = decode(Spec, root.plain())
    except DecodeError:
        return
    edges = [replace(item, path=".".join(path), mark=mark_of(root, path)) for path, item in edge_problems(spec)]
    findings = told_once([*check(spec, root, lambda path: written(tree, path)), *edges], tree)
    yield from (item for item in findings if item.severity == "error")


def _follows(item: Diagnostic, corrected: Corrected) -> bool:
    """Whether a misfit only follows from a reference that leads nowhere, or from a key that stands there under another name."""
    if item.mark is not None and "${" in item.mark.source[item.mark.column - 1 :][: item.mark.length]:
        return True
    home = written(corrected.tree, tuple(item.path.split(".")))
    return item.code == "E105" and home in {tuple(map(str, path)) for path in corrected.doubtful}


def _without_cure(item: Diagnostic, corrected: Corrected) -> Diagnostic:
    """A cure that leads through a misspelt key would add a second one."""
    path = (item.fix or "").partition("=")[0].split(".")
    below = any(path[: len(key)] == [str(part) for part in key] for key in corrected.renamed)
    return replace(item, fix=None) if below else item
