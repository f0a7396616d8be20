"""Everything that is wrong with a tree which does not fit the language, each mistake told once and none that only follows."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.inventory import Inventories

from .check import check, mark_of
from .correct import Corrected, correct
from .lower import edge_problems
from .node import Node
from .origin import told_once, written
from .read import MAX_FOUND
from .resolution import Resolution
from .validate import schema_diagnostics

_MAX_COPIES = 10 * MAX_FOUND


def misfits(tree: Node, resolution: Resolution) -> list[Diagnostic]:
    """Findings on the expanded tree of one point: those of its form; those of its meaning too, where its form has nothing but typos."""
    corrected = correct(tree)
    if len(corrected.found) >= MAX_FOUND:
        return corrected.found
    root, problems = resolution.resolve(corrected.tree)
    nowhere = {item.mark for item in problems}
    found = (item for item in schema_diagnostics(root) if item.mark not in nowhere and not _follows(item, corrected))
    once = islice(told_once(islice(found, _MAX_COPIES), corrected.tree), MAX_FOUND)
    form = [_without_cure(item, corrected) for item in [*problems, *once]]
    if corrected.found and not form and not corrected.doubtful:
        form = [_without_cure(item, corrected) for item in _meaning(root, corrected.tree, resolution)]
    return [*corrected.found, *form]


def _meaning(root: Node, tree: Node, resolution: Resolution) -> Iterator[Diagnostic]:
    try:
        spec = resolution.typed(root)
    except SpecError:
        return
    edges = [replace(item, path=".".join(path), mark=mark_of(root, path)) for path, item in edge_problems(spec, Inventories())]
    findings = told_once([*check(spec, root, lambda path: written(tree, path), {}), *edges], tree)
    yield from (item for item in findings if item.severity == "error")


def _follows(item: Diagnostic, corrected: Corrected) -> bool:
    """Whether what a map lacks may stand there under another name."""
    if item.code != "E105" or not corrected.doubtful:
        return False
    home = written(corrected.tree, tuple(item.path.split(".")))
    return home in {tuple(map(str, path)) for path in corrected.doubtful}


def _without_cure(item: Diagnostic, corrected: Corrected) -> Diagnostic:
    """A cure that leads through a misspelt key would add a second one."""
    path = (item.fix or "").partition("=")[0].split(".")
    below = any(path[: len(key)] == [str(part) for part in key] for key in corrected.renamed)
    return replace(item, fix=None) if below else item
