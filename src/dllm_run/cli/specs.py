"""Finding and compiling the spec that a user named."""

import errno
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dllm_run.specs
from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.lock import Lock, read_lock
from dllm_run.compiler.suggest import nearest
from dllm_run.specs.errors import EnvironmentProblem, NotFound
from dllm_run.specs.plan import InputRecord

from .diagnostics import show
from .scripts import check_scripts

RECIPE = "recipe:"


@dataclass(frozen=True, slots=True)
class Named:
    """A spec with where its relative paths start and where its lock is."""

    source: Source
    base: Path
    lock_path: Path | None
    """None for a recipe: its lock lies with its runs only."""
    lock: Lock

    def compile(self) -> Compiled:
        """The compiled spec. Raises SpecError."""
        return compile_spec(self.source, self.lock, check_scripts)

    def compiled(self) -> Compiled:
        """The same; warnings go to standard error."""
        found = self.compile()
        show(found.warnings)
        return found


def find(name: str, flags: Sequence[str], *, new_lock: bool = False) -> Named:
    """The spec of a file name or `recipe:NAME`. Raises NotFound, with the nearest name that exists.

    `new_lock`: the lock is about to be written anew, so that a broken one counts as none.
    """
    recipe = name.startswith(RECIPE)
    path = recipe_file(name.removeprefix(RECIPE)) if recipe else _file(name)
    base = Path() if recipe else path.parent
    lock_path = None if recipe else path.with_name(path.stem + ".lock.json")
    lock = Lock(base, _locked(lock_path, new_lock))
    read_file = functools.partial(read_beside, base)
    source = Source(file=name if recipe else str(path), data=path.read_bytes(), flags=tuple(flags), read_file=read_file)
    return Named(source, base, lock_path, lock)


def read_beside(base: Path, path: str) -> bytes:
    """A file that a spec in the folder `base` builds on, or recipe:NAME. Raises OSError, and KeyError with a hint for a recipe."""
    if path.startswith(RECIPE):
        known = recipes()
        name = path.removeprefix(RECIPE)
        if name not in known:
            guess = nearest(name, known)
            raise KeyError(f"did you mean recipe:{guess}?" if guess else f"recipes: {', '.join(known)}")
        return known[name].read_bytes()
    here = base / Path(path).expanduser()
    shared = Path(os.environ.get("XDG_CONFIG_HOME", "~/.config")).expanduser() / "dllm-run" / path
    # A profile may be the user's instead of the experiment's.
    if path.startswith("profiles/") and not here.is_file() and shared.is_file():
        here = shared
    if not here.exists():
        beside = [other.name for other in here.parent.iterdir()] if here.parent.is_dir() else []
        guess = nearest(here.name, beside)
        raise FileNotFoundError(errno.ENOENT, "there is no such file" + (f"; did you mean {guess}?" if guess else ""))
    return here.read_bytes()


def _locked(path: Path | None, new_lock: bool) -> dict[str, InputRecord]:
    try:
        return read_lock(path) if path is not None else {}
    except EnvironmentProblem:
        if not new_lock:
            raise
        return {}


def recipes() -> dict[str, Path]:
    """The recipes that come with dllm-run, by name."""
    folder = Path(dllm_run.specs.__file__).parent / "recipes"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def recipe_file(name: str) -> Path:
    """The file of a recipe. Raises NotFound, with the nearest name that exists."""
    known = recipes()
    if name not in known:
        guess = nearest(name, known)
        hint = f"did you mean recipe:{guess}?" if guess else "there are " + ", ".join(RECIPE + other for other in known)
        raise NotFound(f"there is no recipe {name!r}: {hint}")
    return known[name]


def _file(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise NotFound(f"{name} is a folder; a spec is a YAML file or {RECIPE}NAME")
    beside = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    guess = nearest(path.name, beside)
    if guess is None and name in recipes():
        raise NotFound(f"there is no file {name}: did you mean {RECIPE}{name}?")
    raise NotFound(f"there is no file {name}" + (f": did you mean {path.parent / guess}?" if guess else ""))
