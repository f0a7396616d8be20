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
from dllm_run.cli.forms import CHAT, DIFF, SAMPLE
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
        _arguments(name, verb)
        verb.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


def _arguments(name: str, verb: argparse.ArgumentParser) -> None:
    if name == "validate":
        verb.add_argument("specs", nargs="+", metavar="SPEC", help="file or recipe:NAME")
        _set(verb)
    elif name == "diff":
        verb.epilog, verb.formatter_class = DIFF, argparse.RawDescriptionHelpFormatter
        verb.add_argument("old", metavar="OLD", help="spec, REV:PATH, compiled tree or run, and /POINT of it")
        verb.add_argument("new", metavar="NEW", help="the same")
        verb.add_argument("--strict", action="store_true", help="exit 4 also if only numerics differ")
        _set(verb)
        _runs(verb)
    elif name in ("status", "logs", "cancel", "resume"):
        verb.add_argument("run", nargs="?", metavar="RUN", help="run id, name, folder, SPEC or recipe:NAME (default: the last run)")
        _set(verb)
        _runs(verb)
        if name == "status":
            verb.add_argument("--watch", action="store_true", help="again and again, until nothing runs any more")
        if name == "logs":
            verb.add_argument("stage", nargs="?", metavar="STAGE", help="name, POINT/STAGE or id (default: the one that failed, or runs)")
            verb.add_argument("-n", "--lines", type=int, default=40, help="last lines to print; 0: all (default: 40)")
            verb.add_argument("-f", "--follow", action="store_true", help="go on with what is printed from now on")
            verb.add_argument("--rank", type=int, default=0, help="of several processes, which one (default: 0)")
            verb.add_argument("--job", action="store_true", help="what the job printed instead: set-up lines, and why it ended")
        if name == "resume":
            verb.add_argument("-q", "--quiet", action="store_true", help="no progress and no canvases, results only")
    elif name == "doctor":
        verb.add_argument("spec", nargs="?", metavar="SPEC", help="file or recipe:NAME: also what this one needs")
        verb.add_argument(
            "--selftest", action="store_true", help="train, resume, sample and evaluate on the devices here; a report to paste"
        )
        _set(verb)
        _runs(verb)
    elif name == "show":
        verb.add_argument("run", nargs="?", metavar="RUN", help="run id, name, folder, SPEC or recipe:NAME (default: the last run)")
        _set(verb)
        _runs(verb)
    elif name in ("sample", "chat"):
        _sampling(name, verb)
    elif name == "explain":
        text = "code (E311), path (stages.train.batch.micro), the end of one (learning_rate), or word (mdlm)"
        verb.add_argument("what", metavar="WHAT", help=text)
        verb.add_argument("spec", nargs="?", metavar="SPEC", help="file or recipe:NAME: also the value there, and every place that set it")
        _set(verb)
    elif name == "init":
        verb.add_argument("file", nargs="?", default="spec.yaml", metavar="FILE", help="file to write (default: spec.yaml)")
        verb.add_argument("--from", dest="recipe", metavar="RECIPE", help="a recipe to copy, such as sudoku (default: a commented starter)")
    elif name == "schema":
        verb.add_argument("--format", choices=("json", "md"), default="json", help="JSON Schema (default), or Markdown")
    elif name == "migrate":
        verb.add_argument("spec", metavar="SPEC", help="file, which is rewritten in place")
        verb.add_argument("--check", action="store_true", help="write nothing; exit 4 if something would change")
    else:
        verb.add_argument("spec", metavar="SPEC", help="file or recipe:NAME")
        _set(verb)
    if name in ("plan", "run", "submit", "fetch"):
        _runs(verb)
    if name == "plan":
        verb.add_argument("--explain", metavar="STAGE", help="why one stage runs, down to the field: its name, POINT/STAGE, or its id")
        verb.add_argument("--detailed-exit-code", action="store_true", help="exit 4 if there is work to do")
    if name == "run":
        verb.add_argument("-q", "--quiet", action="store_true", help="no progress and no canvases, results only")
    if name == "compile":
        verb.add_argument("-o", "--output", metavar="DIR", help="folder to write (default: compiled/NAME)")
        verb.add_argument("--check", action="store_true", help="write nothing; exit 4 if DIR is not what would be written")
    if name == "lock":
        verb.add_argument("--update", action="store_true", help="accept what is on this disk now in place of what is locked")


def _sampling(name: str, verb: argparse.ArgumentParser) -> None:
    verb.epilog, verb.formatter_class = {"sample": SAMPLE, "chat": CHAT}[name], argparse.RawDescriptionHelpFormatter
    verb.add_argument("spec", nargs="?", metavar="SPEC", help="spec, recipe:NAME or run (default: the last run)")
    verb.add_argument("--stage", metavar="NAME", help="stage that samples, or whose model does (default: the last)")
    verb.add_argument("--point", metavar="NAME", help="point of a sweep, by name or id")
    verb.add_argument("--sampler", metavar="SAMPLER", help='a word (llada), or "{type: llada, steps: 64}" (default: as the spec has it)')
    verb.add_argument("--steps", type=int, metavar="N", help="steps of the sampler, in total")
    verb.add_argument("--temperature", type=float, metavar="T", help="of the sampler; 0 draws nothing")
    verb.add_argument("--seed", type=int, metavar="N", help="of what is drawn")
    verb.add_argument("--max-new-tokens", type=int, metavar="N", help="tokens after a prompt, or of an answer")
    if name == "sample":
        text = "text to go on from, in place of the stage's prompts (may be repeated); -: each line of standard input"
        verb.add_argument("--prompt", nargs="+", action="extend", metavar="TEXT", help=text)
        verb.add_argument("-n", "--number", type=_count, metavar="N", help="samples of each prompt; of held-out rows: rows")
        verb.add_argument("--replay", action="store_true", help="play the samples that a run has kept, without the model")
        text = "what colours say: the order in which tokens came (default), or how certain the model was"
        verb.add_argument("--color", choices=("order", "confidence"), default="order", help=text)
    else:
        verb.add_argument("--system", metavar="TEXT", help="message of the system that the conversation begins with")
    _set(verb)
    _runs(verb)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _set(verb: argparse.ArgumentParser) -> None:
    text = "change a value of the spec, such as -s stages.train.batch=64 (may be repeated)"
    verb.add_argument("-s", "--set", action="append", default=[], metavar="PATH=VALUE", help=text)


def _runs(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--runs", default="runs", metavar="DIR", help="folder of runs and results (default: ./runs)")


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
