"""Finding and compiling the spec that a user named."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dllm_run.specs
from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.lock import Lock, read_lock
from dllm_run.compiler.render import render
from dllm_run.compiler.suggest import nearest
from dllm_run.specs.errors import EnvironmentProblem, NotFound
from dllm_run.specs.plan import InputRecord

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
        if found.warnings:
            print(render(found.warnings, color=sys.stderr.isatty() and "NO_COLOR" not in os.environ), file=sys.stderr)
        return found


def find(name: str, flags: Sequence[str], *, new_lock: bool = False) -> Named:
    """The spec of a file name or `recipe:NAME`. Raises NotFound, with the nearest name that exists.

    `new_lock`: the lock is about to be written anew, so that a broken one counts as none.
    """
    recipe = name.startswith(RECIPE)
    path = _recipe(name.removeprefix(RECIPE)) if recipe else _file(name)
    base = Path() if recipe else path.parent
    lock_path = None if recipe else path.with_name(path.stem + ".lock.json")
    lock = Lock(base, _locked(lock_path, new_lock))
    source = Source(file=name if recipe else str(path), data=path.read_bytes(), flags=tuple(flags))
    return Named(source, base, lock_path, lock)


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


def _recipe(name: str) -> Path:
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
