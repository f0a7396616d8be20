"""What `diff` compares: specs, specs of git revisions, compiled trees, runs, and single points of all of these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dllm_run.compiler.compile import Source
from dllm_run.compiler.side import Side, side_of
from dllm_run.compiler.suggest import nearest
from dllm_run.specs.errors import NotFound
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs

from .gitfiles import Revision, RevisionFolder, revision_lock
from .specs import RECIPE, Named, find, recipes
from .trees import find_run, is_tree, read_tree


@dataclass(frozen=True, slots=True)
class Found:
    """A side, and whether flags acted on it."""

    side: Side
    is_spec: bool


def find_side(text: str, flags: Sequence[str], runs: Runs) -> Found:
    """The side that a user named, as a whole or as WHOLE/POINT. Raises NotFound with what is known."""
    missing: NotFound | None = None
    # No path leads below a file, so that SPEC/POINT cannot be taken for one.
    for whole, point in [(text, None), *_splits(text)]:
        found = _on_disk(whole, flags, runs)
        if found is None or point is None:
            if found is not None:
                return found
            continue
        try:
            return replace(found, side=one_point(found.side, point, whole))
        except NotFound as error:
            missing = missing or error
    if missing is not None:
        raise missing
    if ":" in text and not text.startswith(RECIPE):
        return _in_git(text, flags)
    raise nothing_named(text, runs)


def one_point(side: Side, wanted: str, of: str) -> Side:
    """The side with one of its points alone, by name, id, or the beginning of an id. Raises NotFound."""
    points = side.plan.points
    found = [point_id for point_id, point in points.items() if wanted in (point_id, point.name)]
    found = found or [point_id for point_id in points if len(wanted) >= 4 and point_id.startswith(wanted)]
    if len(found) != 1:
        names = [point.name for point in points.values()]
        guess = nearest(wanted, names)
        known = f"did you mean {guess}?" if guess else f"it has {', '.join(names[:10])}" + (", …" if len(names) > 10 else "")
        raise NotFound(f"{of} has no point {wanted!r}: {known}")
    point = points[found[0]]
    ids = set(point.stages.values())
    stages = {stage_id: stage for stage_id, stage in side.plan.stages.items() if stage_id in ids}
    read = {locator for stage in stages.values() for locator in stage.inputs}
    inputs = {locator: record for locator, record in side.plan.inputs.items() if locator in read}
    return replace(side, plan=Plan(name=side.plan.name, inputs=inputs, stages=stages, points={found[0]: point}))


def _on_disk(text: str, flags: Sequence[str], runs: Runs) -> Found | None:
    path = Path(text)
    if (text.startswith(RECIPE) and text.removeprefix(RECIPE) in recipes()) or path.is_file():
        return Found(side_of(find(text, flags).compiled()), True)
    folder = path if is_tree(path) else find_run(text, runs)
    return Found(read_tree(folder), False) if folder is not None else None


def _in_git(text: str, flags: Sequence[str]) -> Found:
    """The spec REV:PATH, or its point in REV:PATH/POINT. Raises NotFound."""
    name, _, written = text.partition(":")
    here = Path.cwd()
    revision = Revision.find(name, here)
    for file, point in [(written, None), *_splits(written)]:
        path = revision.path_of(file, here)
        if path in revision.files:
            read_file = RevisionFolder(revision, "" if "/" not in path else path.rpartition("/")[0])
            source = Source(file=f"{name}:{file}", data=revision.read(path), flags=tuple(flags), read_file=read_file)
            named = Named(source, revision.top / Path(path).parent, None, revision_lock(revision, path))
            side = side_of(named.compiled())
            return Found(side if point is None else one_point(side, point, source.file), True)
    raise revision.missing(revision.path_of(written, here))


def _splits(text: str) -> list[tuple[str, str]]:
    """Where a point may begin, the longest beginning first."""
    return [(text[:index], text[index + 1 :]) for index in reversed(range(len(text))) if text[index] == "/"]


def nothing_named(text: str, runs: Runs) -> NotFound:
    """What to say of a name that is no spec, compiled tree or run."""
    if text.startswith(RECIPE) or text.endswith((".yaml", ".yml")):
        try:
            find(text, ())
        except NotFound as error:
            return error
    if Path(text).is_dir():
        return NotFound(f"{text} is a folder without a plan.json: neither a compiled tree nor a run")
    known = [f"{path.parent.name}/{path.name}" for path in runs.all_runs()[-5:]]
    beside = [path.name for path in Path().glob("*.y*ml")]
    guess = nearest(text, [*known, *beside, *(RECIPE + name for name in recipes())])
    last = f"the last runs are {', '.join(known)}" if known else f"there are no runs under {runs.root}"
    return NotFound(f"there is no spec, compiled tree or run {text}: " + (f"did you mean {guess}?" if guess else last))
