"""`dllm-run`: reads the command line, calls one verb, turns errors into text and exit codes."""

import argparse
import gc
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dllm_run import __version__
from dllm_run.cli.arguments import add_arguments
from dllm_run.specs.errors import DllmError, SpecError
from dllm_run.specs.store import Runs

VERBS = {
    "init": "write a spec to start from",
    "validate": "check a spec; every error at once",
    "explain": "what an error code, a field or a word means, and who set a value",
    "plan": "what would run, what is done, and why",
    "compile": "write plan and launch scripts, byte-identical everywhere",
    "diff": "what changed between two specs, revisions, runs or points, and what must run again",
    "fetch": "download everything that a spec needs from a hub, so that it runs without a network",
    "run": "run a spec here; `dllm-run SPEC` for short, which submits where its launch says so",
    "submit": "send a spec off, to Slurm or into the background, and return at once",
    "status": "what a run is doing: points, stages, steps, loss, time left, jobs",
    "logs": "what a stage printed",
    "cancel": "end what was sent off of a run, saved where it can be",
    "resume": "continue a run from its own frozen plan, as it was started",
    "doctor": "what this machine has of what a run needs, and what to do about the rest",
    "show": "results of a run, or of what a spec has run",
    "sample": "samples of a trained or published model, filling in before your eyes",
    "chat": "a conversation with a trained or published model",
    "schema": "the language, as JSON Schema for editors or as a page to read",
    "lock": "write down the content of every input",
    "migrate": "rewrite a spec to the newest version of the language, comments and all",
}
_EPILOG = """\
SPEC is a YAML file or recipe:NAME (recipe:sudoku, recipe:quickstart). Try:

  dllm-run recipe:sudoku                            a first model in two minutes, on a CPU
  dllm-run recipe:quickstart -s stages.train.duration="100 steps"
  dllm-run diff HEAD~1:spec.yaml spec.yaml          what changed, and which results stand
  dllm-run plan spec.yaml --explain train           why a stage runs, down to the field
  dllm-run sample quickstart --prompt "def main("   text of a trained model, filling in before your eyes

exit codes: 0 done, 1 a stage failed, 2 usage, 3 spec invalid, 4 differs in a result field,
            5 not found, 6 environment, lock or launcher, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. The exit code is the return value."""
    # A plan of many points is a million objects without a cycle: looking through them again and again takes a sixth of the time.
    gc.set_threshold(100_000, 20, 20)
    words = list(sys.argv[1:] if arguments is None else arguments)
    short = bool(words) and not words[0].startswith("-") and words[0] not in VERBS
    if short:
        words.insert(0, "run")
    parser = _parser()
    options = parser.parse_args(words)
    if options.verb is None:
        parser.print_help()
        return 2
    options.short = short
    verb = importlib.import_module(f"dllm_run.cli.{options.verb}")
    try:
        if "runs" in options:
            Runs(Path(options.runs)).open_to_group()
        code: int = verb.main(options)
        return code
    except SpecError as error:
        return _spec_error(error, as_json=options.json)
    except DllmError as error:
        return _other_error(error, as_json=options.json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `dllm-run plan | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dllm-run",
        description="A diffusion language model experiment is one YAML file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dllm-run {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_arguments(name, verb)
    return parser


def _spec_error(error: SpecError, *, as_json: bool) -> int:
    from dllm_run.compiler.render import as_json as diagnostics_json

    from .diagnostics import show

    if as_json:
        print(json.dumps({"schema": "dllm-run/validate/1", "ok": False, "diagnostics": diagnostics_json(error.diagnostics)}, indent=2))
    else:
        show(error.diagnostics)
    return error.exit_code


def _other_error(error: DllmError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"schema": "dllm-run/error/1", "exit_code": error.exit_code, "message": str(error)}, indent=2))
    else:
        print(f"dllm-run: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
