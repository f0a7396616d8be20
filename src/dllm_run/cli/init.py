"""`dllm-run init [FILE] [--from RECIPE]`: a spec to start from, and the schema that helps an editor with it."""

import argparse
import json
from pathlib import Path

import dllm_run.specs
from dllm_run.compiler.schema import editor_schema_text
from dllm_run.specs.disk import cannot_write
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.store import write_atomic

from .specs import RECIPE, recipe_file

SCHEMA_FILE = "dllm-run.schema.json"
_MARK = "# yaml-language-server: $schema="


def main(options: argparse.Namespace) -> int:
    """0 if written. A file that is there already is never touched: exit 6."""
    path = Path(options.file)
    text = spec_text(options.recipe)
    _write_new(path, text)
    write_atomic(path.with_name(SCHEMA_FILE), editor_schema_text())
    if options.json:
        print(json.dumps({"schema": "dllm-run/init/1", "file": str(path), "editor_schema": str(path.with_name(SCHEMA_FILE))}, indent=2))
        return 0
    steps = {
        f"dllm-run validate {path}": "check it: every error at once",
        f"dllm-run {path}": "run it",
        f"dllm-run explain stages {path}": "every setting, and who set it",
    }
    wide = max(map(len, steps))
    print(f"{path} is written, and {SCHEMA_FILE} for your editor. Next:")
    print("\n".join(f"  {command:<{wide}}   {what}" for command, what in steps.items()))
    return 0


def spec_text(recipe: str | None) -> str:
    """The starter, or a recipe with its comments; its first line tells editors where the schema is. Raises NotFound."""
    path = Path(dllm_run.specs.__file__).parent / "starter.yaml" if recipe is None else recipe_file(recipe.removeprefix(RECIPE))
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(_MARK)]
    return "\n".join([_MARK + SCHEMA_FILE, *lines]) + "\n"


def _write_new(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        other = path.with_name(f"{path.stem}-2{path.suffix or '.yaml'}")
        raise EnvironmentProblem(f"{path} is already there and stays as it is: `dllm-run init {other}` writes beside it") from None
    except OSError as error:
        raise cannot_write(error, path) from None
