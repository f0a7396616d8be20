"""The model class from lm-eval's own command line: an evaluation of a compiled plan says all that `--model_args` does not."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dllm_run.specs.plan import Plan, words_beside
from dllm_run.specs.store import Attempt, Runs
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.word import using

from .context import Context
from .failure import Failure
from .journal import Journal
from .lm import DiffusionLM
from .lm_parts import assembled
from .models import load

KNOWN = ("base", "answers", "greedy", "plan", "runs", "stage")
_UNSET = (None, 1, "1")
"""lm-eval gives a batch size of 1 where nobody asked for any."""


def model_of(arguments: Mapping[str, Any], options: Mapping[str, Any]) -> DiffusionLM:
    """`plan=plan.json,stage=NAME`; `runs=FOLDER` with the models of earlier stages, `base=FOLDER` from which paths of the spec start,
    `answers=FOLDER` to go on where a run was killed, `greedy=false` for tasks that never ask whether the likeliest answer is right.

    `--batch_size` takes the place of the plan's, `--device` must be the plan's. Raises Failure.
    """
    unknown = sorted(set(arguments) - set(KNOWN))
    if unknown or "plan" not in arguments or "stage" not in arguments:
        what = f"{', '.join(unknown)} means nothing" if unknown else "plan and stage must be given"
        raise Failure(f"--model_args: {what}; known are {', '.join(KNOWN)}")
    path = Path(str(arguments["plan"]))
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{path} is no plan: {error}") from None
    with using(words_beside(path, data)):
        plan = Plan.from_json(data)
        stage_id = _stage(plan, str(arguments["stage"]))
        body = plan.stages[stage_id].body
        assert isinstance(body, Eval)
        events = Attempt(Path(tempfile.mkdtemp(prefix="dllm-run-")))
        context = Context(
            plan=plan,
            stage_id=stage_id,
            runs=Runs(Path(str(arguments.get("runs", "runs")))),
            base=Path(str(arguments.get("base", "."))),
            attempt=events,
        )
        if options.get("device") not in (None, context.device.type):
            raise Failure(f"--device {options['device']}: the plan says {context.device.type}; -s compute.device changes it")
        folder = arguments.get("answers")
        journal = Journal(None if folder is None else Path(str(folder))).open()
        greedy = str(arguments.get("greedy", "true")).lower() != "false"
        return assembled(context, load(context, body.model), journal, lambda _: greedy, batch=_batch(options))


def _stage(plan: Plan, name: str) -> str:
    named = [pair for point in plan.points.values() for pair in point.stages.items() if isinstance(plan.stages[pair[1]].body, Eval)]
    found = {stage_id for known, stage_id in named if name in (known, stage_id)}
    if len(found) != 1:
        what = "stands for several, take an id" if found else "is none"
        names = ", ".join(sorted({known for known, _ in named}))
        raise Failure(f"--model_args stage={name}: it {what}; evaluations of the plan are {names}")
    return found.pop()


def _batch(options: Mapping[str, Any]) -> int | None:
    given = options.get("batch_size")
    if given in _UNSET:
        return None
    if not str(given).isdigit():
        raise Failure(f"--batch_size {given}: give a number, or leave it out for the plan's")
    return int(given)
