"""`dllm-run migrate SPEC [--check]`: a spec in the newest version of the language, its comments and its form as they were."""

import argparse
import difflib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from dllm_run.compiler.compile import compile_spec
from dllm_run.compiler.migrate import VERSION, Migrated, migrate
from dllm_run.compiler.render import as_json
from dllm_run.specs.disk import cannot_write
from dllm_run.specs.errors import Diagnostic, EnvironmentProblem, SpecError

from .diagnostics import show
from .scripts import check_scripts
from .specs import RECIPE, Named, find


def main(options: argparse.Namespace) -> int:
    """0 if migrated or current, whatever else is wrong with it; 4 if --check finds something to change; 3 where it is not to be read."""
    if options.spec.startswith(RECIPE):
        raise EnvironmentProblem("a recipe comes with dllm-run and is not rewritten: `dllm-run init --from` makes a copy of your own")
    named = find(options.spec, (), new_lock=True)
    done = migrate(named.source)
    remaining = _remaining(named, done)
    refused = next((item for item in remaining if item.path == VERSION and item.severity == "error"), None)
    if refused is not None and not done.changed:
        raise SpecError([refused])
    if done.changed and not options.check:
        _write(Path(options.spec), named.source.data, done.data)
    if options.json:
        document = {
            "schema": "dllm-run/migrate/1",
            "file": options.spec,
            "changed": [asdict(item) for item in done.changed],
            "remaining": as_json(remaining),
        }
        print(json.dumps(document, indent=2))
    else:
        sys.stdout.write("".join(_diff(options.spec, named.source.data, done.data)))
        print(_summary(options.spec, done, check=options.check))
        sys.stdout.flush()
        show(remaining)
    return 4 if options.check and done.changed else 0


def _remaining(named: Named, done: Migrated) -> tuple[Diagnostic, ...]:
    """What the compiler says to the new text."""
    try:
        return compile_spec(replace(named.source, data=done.data), named.lock, check_scripts).warnings
    except SpecError as error:
        return error.diagnostics


def _summary(name: str, done: Migrated, *, check: bool) -> str:
    if not done.changed:
        return f"{name}: version {done.version}, nothing to change"
    count = f"{len(done.changed)} change{'s' if len(done.changed) > 1 else ''}"
    return f"{name}: version {done.version}, {count}" + (" to make (--check wrote nothing)" if check else "")


def _diff(name: str, old: bytes, new: bytes) -> Iterator[str]:
    lines = difflib.unified_diff(_lines(old), _lines(new), name, name)
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(data: bytes) -> list[str]:
    """The lines as `patch` counts them: only `\\n` ends one."""
    lines = data.decode().split("\n")
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def _write(path: Path, old: bytes, new: bytes) -> None:
    """Replace a file as a whole, through links to it, if it still holds what was read. Raises EnvironmentProblem."""
    real = path.resolve()
    temporary = real.with_name(f".{real.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as stream:
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(real, temporary)
        if real.read_bytes() != old:
            raise EnvironmentProblem(f"{path} was changed while it was migrated: nothing is written, try again")
        temporary.replace(real)
    except OSError as error:
        raise cannot_write(error, path) from None
    finally:
        temporary.unlink(missing_ok=True)
