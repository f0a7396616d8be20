"""`python -m dllm_run.runtime PLAN STAGE_ID`: run one stage of a frozen plan. What launchers start; people use `dllm-run`."""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from dllm_run.specs.canonical import pretty
from dllm_run.specs.environment import ALWAYS, UNLESS_GIVEN
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import Plan, words_beside
from dllm_run.specs.store import ANSWERED, Attempt, Entry, Runs, write_atomic
from dllm_run.specs.word import using

INTERRUPTED = 130


def main() -> int:
    """Exit code 0 done, 1 failed, 6 words of the plan are not here, 130 interrupted with a checkpoint."""
    arguments = _parser().parse_args()
    path = Path(arguments.plan)
    data = json.loads(path.read_text(encoding="utf-8"))
    try:
        words = words_beside(path, data)
    except EnvironmentProblem as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with using(words):
        return _run(Plan.from_json(data), arguments)


def _run(plan: Plan, arguments: argparse.Namespace) -> int:
    if arguments.stage not in plan.stages:
        print(f"stage {arguments.stage} is not in {arguments.plan}; it has {', '.join(plan.stages)}", file=sys.stderr)
        return 5
    runs = Runs(Path(arguments.runs))
    entry = runs.entry(arguments.stage)
    entry.path.mkdir(parents=True, exist_ok=True)
    with _alone(entry):
        if entry.done:
            return 0
        return _attempt(plan, arguments.stage, runs, Path(arguments.base), arguments.threads, entry)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dllm_run.runtime", description=__doc__)
    parser.add_argument("plan", help="plan.json of a compiled spec")
    parser.add_argument("stage", help="id of a stage in it")
    parser.add_argument("--runs", default="runs", help="folder of runs and store (default: runs)")
    parser.add_argument("--base", default=".", help="folder that relative paths of the spec start from (default: .)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: as the plan says, else all cores, as in earlier attempts")
    return parser


@contextlib.contextmanager
def _alone(entry: Entry) -> Iterator[None]:
    """Hold the stage: another run of the same stage waits, and then finds it done."""
    with (entry.path / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _attempt(plan: Plan, stage_id: str, runs: Runs, base: Path, threads: int, entry: Entry) -> int:
    earlier = entry.attempts()
    attempt = entry.new_attempt()
    # Answers of an evaluation that was killed are found again by what was asked.
    _forget_outputs(entry, keep=(ANSWERED, *(("checkpoints",) if entry.complete_checkpoints() else ())))
    decided = threads or plan.stages[stage_id].body.compute.threads or _earlier_threads(earlier) or len(os.sched_getaffinity(0))
    name, started = plan.name_of(stage_id), time.time()
    status: dict[str, Any] = {
        "schema": "dllm-run/status/1",
        "stage": stage_id,
        "name": name,
        "kind": plan.stages[stage_id].body.word,
        "state": "running",
        "pid": os.getpid(),
        "host": platform.node(),
        "threads": decided,
        "started": round(started, 3),
    }
    attempt.write_status(status)
    print(f"{name} ({stage_id}): attempt {attempt.number}, log {attempt.log}", file=sys.stderr, flush=True)
    # From here on everything, also what libraries print from C, goes to the log.
    with attempt.log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
    # The threads are read when torch is loaded, so they are set before.
    os.environ.update({**ALWAYS, "OMP_NUM_THREADS": str(decided)})
    for name, value in {**UNLESS_GIVEN, "HF_DATASETS_CACHE": str((attempt.path / "cache").absolute())}.items():
        os.environ.setdefault(name, value)
    return _execute(plan, stage_id, runs, base, attempt, entry, status)


def _execute(plan: Plan, stage_id: str, runs: Runs, base: Path, attempt: Attempt, entry: Entry, status: dict[str, Any]) -> int:
    import torch  # after the environment is set, and not at all for a stage that is done

    from .build import module_of
    from .context import Context
    from .failure import Failure

    torch.set_num_threads(status["threads"])
    body = plan.stages[stage_id].body
    torch.use_deterministic_algorithms(True, warn_only=not (body.compute.deterministic or body.compute.device == "cpu"))
    context = Context(plan=plan, stage_id=stage_id, runs=runs, base=base, attempt=attempt)
    _listen(context)
    context.emit("stage", {"stage": status["name"], "kind": status["kind"], "id": stage_id, "attempt": attempt.number})
    try:
        results = module_of(type(body)).run(context)
    except Failure as failure:
        return _failed(context, str(failure))
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            _failed(context, f"{type(error).__name__}: {error}")
    if context.interrupted:
        done = attempt.status().get("done", 0)
        attempt.write_status({**attempt.status(), "state": "interrupted"})
        context.emit("interrupted", {"step": done})
        return INTERRUPTED
    write_atomic(entry.results_file, pretty(results))
    shutil.rmtree(attempt.path / "cache", ignore_errors=True)
    entry.finish()
    seconds = round(time.time() - status["started"], 1)
    attempt.write_status({**attempt.status(), "state": "done", "seconds": seconds})
    context.emit("done", {"seconds": seconds})
    return 0


def _failed(context: Any, message: str) -> int:
    context.attempt.write_status({**context.attempt.status(), "state": "failed", "message": message})
    context.emit("failed", {"message": message})
    return 1


def _listen(context: Any) -> None:
    """The first signal asks for a checkpoint at the end of the step; a second one ends the process at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if context.interrupted or context.stage.body.word not in ("pretrain", "sft"):
            os._exit(INTERRUPTED)
        context.interrupted = True

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def _earlier_threads(attempts: list[Attempt]) -> int | None:
    """The threads of the last attempt: the same bits need the same number."""
    return attempts[-1].status().get("threads") if attempts else None


def _forget_outputs(entry: Entry, keep: tuple[str, ...]) -> None:
    """Half-written outputs and checkpoints of an attempt that died."""
    for child in entry.path.iterdir():
        if child.name in ("attempts", "lock", *keep):
            continue
        shutil.rmtree(child) if child.is_dir() else child.unlink()
    for child in entry.checkpoints.glob("*") if entry.checkpoints.is_dir() else ():
        if not (child / "COMPLETE").is_file():
            shutil.rmtree(child)


if __name__ == "__main__":
    sys.exit(main())
