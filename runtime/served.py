"""`python -m dllm_run.runtime.served PLAN STAGE_ID`: a model that answers what it is asked, one JSON object a line, both ways.

Asked on standard input, each with a `number`: {"ask": "own"}, what the stage itself asks for; {"ask": "texts", "texts"}, texts to go on
from; {"ask": "answer", "messages"}, a conversation; {"ask": "cancel"}, to end what has that number. Told on standard output: the events
of a sampling stage, `ready` when the model is loaded, `filled` for each sample, and at the end of what was asked `finished`, `refused`
or `cancelled`. What else is printed goes to the log. The end of standard input is the end of the process.
"""

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dllm_run.specs.environment import RANK
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import Plan, words_beside
from dllm_run.specs.store import Runs
from dllm_run.specs.word import using

from .line import Told, Waiting
from .starting import redirect, set_environment, threads_of

if TYPE_CHECKING:
    from .serving import Server


def main() -> int:
    """0 when nobody asks any more, 1 where the model cannot be loaded, 6 where words of the plan are not here."""
    arguments = _parser().parse_args()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    redirect(Path(arguments.log))
    told = Told(out)
    path = Path(arguments.plan)
    data = json.loads(path.read_text(encoding="utf-8"))
    try:
        words = words_beside(path, data)
    except EnvironmentProblem as error:
        told("refused", {"number": None, "message": str(error)})
        return error.exit_code
    with using(words):
        return _serve(Plan.from_json(data), arguments, told)


def _serve(plan: Plan, arguments: argparse.Namespace, told: Told) -> int:
    runs = Runs(Path(arguments.runs))
    threads = threads_of(plan.stages[arguments.stage].body.compute, runs.entry(arguments.stage))
    set_environment(threads)
    for name in RANK:
        os.environ.pop(name, None)
    waiting = Waiting()
    threading.Thread(target=waiting.read, args=(sys.stdin,), daemon=True).start()
    from .failure import Failure
    from .serving import server_of  # torch is loaded after the number of threads is set

    try:
        server: Server = server_of(plan, arguments.stage, runs, Path(arguments.base), Path(arguments.log).parent, threads, told, waiting)
    except Failure as failure:
        told("refused", {"number": None, "message": str(failure)})
        return 1
    for asked in waiting:
        server.answer(asked)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dllm_run.runtime.served", description=__doc__)
    parser.add_argument("plan", help="plan.json of a compiled spec")
    parser.add_argument("stage", help="id of a sampling stage in it")
    parser.add_argument("--runs", default="runs", help="folder of runs and store (default: runs)")
    parser.add_argument("--base", default=".", help="folder that relative paths of the spec start from (default: .)")
    parser.add_argument("--log", required=True, help="file for everything that is printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
