"""The spec that a user named, also by a run or compiled tree, which keep what they were compiled from."""

from collections.abc import Sequence
from pathlib import Path

from dllm_run.compiler.compile import Source
from dllm_run.compiler.lock import Lock, read_lock
from dllm_run.specs.errors import EnvironmentProblem, NotFound
from dllm_run.specs.plan import kept_name
from dllm_run.specs.store import Runs

from .sides import nothing_named
from .specs import RECIPE, Named, find
from .trees import find_run, is_tree


def find_spec(text: str | None, flags: Sequence[str], runs: Runs) -> Named:
    """The spec of a file, recipe, compiled tree or run; None: of the last run. Raises NotFound."""
    if text is None:
        return _spec_in(last_run(runs), flags)
    if text.startswith(RECIPE) or Path(text).is_file():
        return find(text, flags)
    folder = Path(text) if is_tree(Path(text)) else find_run(text, runs)
    if folder is None:
        raise nothing_named(text, runs)
    return _spec_in(folder, flags)


def last_run(runs: Runs) -> Path:
    """The folder of the run last started. Raises NotFound where there is none."""
    known = runs.all_runs()
    if not known:
        raise NotFound(f"there are no runs under {runs.root} yet: name a spec")
    return known[-1]


def _spec_in(folder: Path, flags: Sequence[str]) -> Named:
    """What a tree was compiled from; it does not keep where relative paths started, so they start here."""
    flag_file = folder / "flags.txt"
    try:
        data = (folder / "spec.yaml").read_bytes()
        own = flag_file.read_text(encoding="utf-8").splitlines() if flag_file.is_file() else []
    except OSError as error:
        raise EnvironmentProblem(f"{folder} is not a whole compiled tree: {Path(str(error.filename)).name} cannot be read") from None

    def read_kept(path: str) -> bytes:
        return (folder / kept_name(path)).read_bytes()

    source = Source(file=str(folder / "spec.yaml"), data=data, flags=(*own, *flags), read_file=read_kept)
    return Named(source, Path(), None, Lock(Path(), read_lock(folder / "lock.json")))
