"""The arguments of each verb."""

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from .forms import CHAT, DIFF, SAMPLE

Verb = argparse.ArgumentParser
_RUN = "run id, name, folder, SPEC or recipe:NAME (default: the last run)"


def add_arguments(name: str, verb: Verb) -> None:
    """All that a verb takes."""
    for add in _OF[name]:
        add(verb)
    verb.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _spec(verb: Verb) -> None:
    verb.add_argument("spec", metavar="SPEC", help="file or recipe:NAME")


def _set(verb: Verb) -> None:
    text = "change a value of the spec, such as -s stages.train.batch=64 (may be repeated)"
    verb.add_argument("-s", "--set", action="append", default=[], metavar="PATH=VALUE", help=text)


def _run(verb: Verb) -> None:
    verb.add_argument("run", nargs="?", metavar="RUN", help=_RUN)


def _runs(verb: Verb) -> None:
    verb.add_argument("--runs", default="runs", metavar="DIR", help="folder of runs and results (default: ./runs)")


def _quiet(verb: Verb) -> None:
    verb.add_argument("-q", "--quiet", action="store_true", help="no progress and no canvases, results only")


def _init(verb: Verb) -> None:
    verb.add_argument("file", nargs="?", default="spec.yaml", metavar="FILE", help="file to write (default: spec.yaml)")
    verb.add_argument("--from", dest="recipe", metavar="RECIPE", help="a recipe to copy, such as sudoku (default: a commented starter)")


def _validate(verb: Verb) -> None:
    verb.add_argument("specs", nargs="+", metavar="SPEC", help="file or recipe:NAME")


def _explain(verb: Verb) -> None:
    text = "code (E311), path (stages.train.batch.micro), the end of one (learning_rate), or word (mdlm)"
    verb.add_argument("what", metavar="WHAT", help=text)
    verb.add_argument("spec", nargs="?", metavar="SPEC", help="file or recipe:NAME: also the value there, and every place that set it")


def _plan(verb: Verb) -> None:
    verb.add_argument("--explain", metavar="STAGE", help="why one stage runs, down to the field: its name, POINT/STAGE, or its id")
    verb.add_argument("--detailed-exit-code", action="store_true", help="exit 4 if there is work to do")


def _compile(verb: Verb) -> None:
    verb.add_argument("-o", "--output", metavar="DIR", help="folder to write (default: compiled/NAME)")
    verb.add_argument("--check", action="store_true", help="write nothing; exit 4 if DIR is not what would be written")


def _diff(verb: Verb) -> None:
    verb.epilog, verb.formatter_class = DIFF, argparse.RawDescriptionHelpFormatter
    verb.add_argument("old", metavar="OLD", help="spec, REV:PATH, compiled tree or run, and /POINT of it")
    verb.add_argument("new", metavar="NEW", help="the same")
    verb.add_argument("--strict", action="store_true", help="exit 4 also if only numerics differ")


def _status(verb: Verb) -> None:
    verb.add_argument("--watch", action="store_true", help="again and again, until nothing runs any more")


def _logs(verb: Verb) -> None:
    verb.add_argument("stage", nargs="?", metavar="STAGE", help="name, POINT/STAGE or id (default: the one that failed, or runs)")
    verb.add_argument("-n", "--lines", type=int, default=40, help="last lines to print; 0: all (default: 40)")
    verb.add_argument("-f", "--follow", action="store_true", help="go on with what is printed from now on")
    verb.add_argument("--rank", type=int, default=0, help="of several processes, which one (default: 0)")
    verb.add_argument("--job", action="store_true", help="what the job printed instead: set-up lines, and why it ended")


def _doctor(verb: Verb) -> None:
    verb.add_argument("spec", nargs="?", metavar="SPEC", help="file or recipe:NAME: also what this one needs")
    text = "train, resume, sample and evaluate on the devices here; a report to paste"
    verb.add_argument("--selftest", action="store_true", help=text)


def _sampling(verb: Verb) -> None:
    verb.add_argument("spec", nargs="?", metavar="SPEC", help="spec, recipe:NAME or run (default: the last run)")
    verb.add_argument("--stage", metavar="NAME", help="stage that samples, or whose model does (default: the last)")
    verb.add_argument("--point", metavar="NAME", help="point of a sweep, by name or id")
    verb.add_argument("--sampler", metavar="SAMPLER", help='a word (llada), or "{type: llada, steps: 64}" (default: as the spec has it)')
    verb.add_argument("--steps", type=int, metavar="N", help="steps of the sampler, in total")
    verb.add_argument("--temperature", type=float, metavar="T", help="of the sampler; 0 draws nothing")
    verb.add_argument("--seed", type=int, metavar="N", help="of what is drawn")
    verb.add_argument("--max-new-tokens", type=int, metavar="N", help="tokens after a prompt, or of an answer")


def _sample(verb: Verb) -> None:
    verb.epilog, verb.formatter_class = SAMPLE, argparse.RawDescriptionHelpFormatter
    text = "text to go on from, in place of the stage's prompts (may be repeated); -: each line of standard input"
    verb.add_argument("--prompt", nargs="+", action="extend", metavar="TEXT", help=text)
    verb.add_argument("-n", "--number", type=_count, metavar="N", help="samples of each prompt; of held-out rows: rows")
    verb.add_argument("--replay", action="store_true", help="play the samples that a run has kept, without the model")
    text = "what colours say: the order in which tokens came (default), or how certain the model was"
    verb.add_argument("--color", choices=("order", "confidence"), default="order", help=text)


def _chat(verb: Verb) -> None:
    verb.epilog, verb.formatter_class = CHAT, argparse.RawDescriptionHelpFormatter
    verb.add_argument("--system", metavar="TEXT", help="message of the system that the conversation begins with")


def _schema(verb: Verb) -> None:
    verb.add_argument("--format", choices=("json", "md"), default="json", help="JSON Schema (default), or Markdown")


def _lock(verb: Verb) -> None:
    verb.add_argument("--update", action="store_true", help="accept what is on this disk now in place of what is locked")


def _migrate(verb: Verb) -> None:
    verb.add_argument("spec", metavar="SPEC", help="file, which is rewritten in place")
    verb.add_argument("--check", action="store_true", help="write nothing; exit 4 if something would change")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


_OF: Final[Mapping[str, tuple[Callable[[Verb], None], ...]]] = MappingProxyType(
    {
        "init": (_init,),
        "validate": (_validate, _set),
        "explain": (_explain, _set),
        "plan": (_spec, _set, _runs, _plan),
        "compile": (_spec, _set, _compile),
        "diff": (_diff, _set, _runs),
        "fetch": (_spec, _set, _runs),
        "run": (_spec, _set, _runs, _quiet),
        "submit": (_spec, _set, _runs),
        "status": (_run, _set, _runs, _status),
        "logs": (_run, _set, _runs, _logs),
        "cancel": (_run, _set, _runs),
        "resume": (_run, _set, _runs, _quiet),
        "doctor": (_doctor, _set, _runs),
        "show": (_run, _set, _runs),
        "sample": (_sampling, _sample, _set, _runs),
        "chat": (_sampling, _chat, _set, _runs),
        "schema": (_schema,),
        "lock": (_spec, _set, _lock),
        "migrate": (_migrate,),
    }
)
