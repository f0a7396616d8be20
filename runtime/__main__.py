"""`python -m dllm_run.runtime PLAN STAGE_ID`: run one stage of a frozen plan. What launchers start; people use `dllm-run`."""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dllm_run.specs.canonical import pretty
from dllm_run.specs.disk import cannot_write, disk_problem
from dllm_run.specs.environment import JOB, RANK
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.leash import dies_with_parent, on_leash, running_mark
from dllm_run.specs.packages import missing_packages
from dllm_run.specs.plan import Plan, words_beside
from dllm_run.specs.store import ANSWERED, Attempt, Entry, Runs, write_atomic
from dllm_run.specs.word import using

from .failure import Failure
from .requests import Requests
from .starting import redirect, set_environment, threads_of
from .world import World, refuse_other, world_of

if TYPE_CHECKING:
    from .context import Context
    from .meeting import Meeting


def main() -> int:
    """Exit code 0 done, 1 failed, 6 words of the plan are not here, 75 or 130 interrupted with a checkpoint."""
    requests = Requests(alone=os.environ.get("WORLD_SIZE", "1") == "1")
    requests.listen()
    on_leash()
    arguments = _parser().parse_args()
    path = Path(arguments.plan)
    data = json.loads(path.read_text(encoding="utf-8"))
    try:
        words = words_beside(path, data)
    except EnvironmentProblem as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with using(words):
        return _run(Plan.from_json(data), arguments, requests)


def _run(plan: Plan, arguments: argparse.Namespace, requests: Requests) -> int:
    if arguments.stage not in plan.stages:
        print(f"stage {arguments.stage} is not in {arguments.plan}; it has {', '.join(plan.stages)}", file=sys.stderr)
        return 5
    runs = Runs(Path(arguments.runs))
    runs.open_to_group()
    entry = runs.entry(arguments.stage)
    try:
        entry.path.mkdir(parents=True, exist_ok=True)
        world = world_of(os.environ)
    except OSError as error:
        return _cannot_begin(error, entry)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    threads = threads_of(plan.stages[arguments.stage].body.compute, entry, asked=arguments.threads, local_size=world.local_size)
    job = _Job(plan, arguments.stage, runs, Path(arguments.base), entry, world, threads, requests)
    set_environment(job.threads)
    if world.size > 1:
        dies_with_parent()
    else:
        # Of a launcher that started one process: accelerate would make a process group of it.
        for name in RANK:
            os.environ.pop(name, None)
    return _lead(job) if world.first else _follow(job)


@dataclass(frozen=True, slots=True)
class _Job:
    """What this process was started for."""

    plan: Plan
    stage_id: str
    runs: Runs
    base: Path
    entry: Entry
    world: World
    threads: int
    requests: Requests


def _lead(job: _Job) -> int:
    """The only process, or the first of several: the stage, and the decision what to do, are its own."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_alone(job.entry))
            attempt = None if job.entry.done else _begin(job)
        except OSError as error:
            return _cannot_begin(error, job.entry)
        meeting = _meeting(job.world)
        if meeting is not None:
            meeting.tell(None if attempt is None else attempt.number)
        if attempt is None:
            if meeting is not None:
                meeting.leave()
            return 0
        return _execute(job, attempt, meeting)


def _cannot_begin(error: OSError, entry: Entry) -> int:
    problem = cannot_write(error, entry.path)
    print(problem, file=sys.stderr)
    return problem.exit_code


def _follow(job: _Job) -> int:
    """Another process: it does what the first one says."""
    meeting = _meeting(job.world)
    assert meeting is not None
    number = meeting.told()
    if number is None:
        meeting.leave()
        return 0
    attempt = job.entry.attempt(number)
    redirect(attempt.log_of(job.world.rank))
    return _execute(job, attempt, meeting)


def _meeting(world: World) -> "Meeting | None":
    if world.size == 1:
        return None
    from .meeting import Meeting  # torch is loaded after the number of threads is set

    return Meeting(world)


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


def _begin(job: _Job) -> Attempt:
    """A new attempt, with its status; what an earlier one has left half-written is gone."""
    earlier = job.entry.attempts()
    attempt = job.entry.new_attempt()
    checkpoints = job.entry.complete_checkpoints()
    begins = checkpoints[-1][0] if checkpoints else 0
    _forget_outputs(job.entry)
    name, several = job.plan.name_of(job.stage_id), job.world.size > 1
    status: dict[str, Any] = {
        "schema": "dllm-run/status/1",
        "stage": job.stage_id,
        "name": name,
        "kind": job.plan.stages[job.stage_id].body.word,
        "state": "running",
        "pid": os.getpid(),
        "mark": running_mark(os.getpid()),
        "host": platform.node(),
        "threads": job.threads,
        **({"processes": job.world.size} if several else {}),
        **({"job": os.environ[JOB]} if JOB in os.environ else {}),
        "from": begins,
        "lost": max(0, int(earlier[-1].status().get("done", 0)) - begins) if earlier else 0,
        "started": round(time.time(), 3),
    }
    attempt.write_status(status)
    print(f"{name} ({job.stage_id}): attempt {attempt.number}, log {attempt.log}", file=sys.stderr, flush=True)
    redirect(attempt.log)
    return attempt


def _execute(job: _Job, attempt: Attempt, meeting: "Meeting | None") -> int:
    cache = (attempt.path / "cache").absolute()
    os.environ.setdefault("HF_DATASETS_CACHE", str(cache))
    # Of this attempt and process alone: a process that is killed while it writes leaves a file on which every later one would fail.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / f"inductor-{job.world.rank}"))
    import torch  # after the environment is set, and not at all for a stage that is done

    from .build import module_of
    from .context import Context

    torch.set_num_threads(job.threads)
    body = job.plan.stages[job.stage_id].body
    torch.use_deterministic_algorithms(True, warn_only=not (body.compute.deterministic or body.compute.device == "cpu"))
    context = Context(plan=job.plan, stage_id=job.stage_id, runs=job.runs, base=job.base, attempt=attempt, world=job.world)
    job.requests.attach(context)
    context.emit("stage", {"stage": job.plan.name_of(job.stage_id), "kind": body.word, "id": job.stage_id, "attempt": attempt.number})
    try:
        refuse_other(job.world, body.compute)
        missing = missing_packages([body])
        if missing:
            raise Failure("; ".join(missing))
        if meeting is not None:
            meeting.join(body.compute.device or "cpu")
        results = module_of(type(body)).run(context)
        if job.world.first:
            _conclude(job, context, results)
    except Failure as failure:
        return _failed(context, str(failure), told=True)
    except Exception as reason:
        problem = disk_problem(reason, job.entry.path)
        if problem is None:
            raise
        traceback.print_exc()
        if job.world.first and not job.entry.done:
            # What is half-written is of no use, and its room is.
            _forget_outputs(job.entry)
        return _failed(context, problem, told=True)
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            _failed(context, f"{type(error).__name__}: {error}", told=False)
    if meeting is not None:
        if context.interrupted:
            # Where the end of one process ends all, none goes before the first one has written down how it was.
            meeting.wait()
        meeting.leave()
    return job.requests.exit_code if context.interrupted else 0


def _conclude(job: _Job, context: "Context", results: dict[str, Any]) -> None:
    """Write down how the stage ended."""
    attempt = context.attempt
    if context.interrupted:
        # Progress is told a few times a second only: the last steps may be missing from it.
        saved = max((step for step, _ in job.entry.complete_checkpoints()), default=0)
        attempt.write_status({**attempt.status(), "state": "interrupted", "signal": job.requests.name, "done": saved})
        context.emit("interrupted", {"step": attempt.status().get("done", 0)})
        return
    write_atomic(job.entry.results_file, pretty(results))
    shutil.rmtree(attempt.path / "cache", ignore_errors=True)
    job.entry.finish()
    seconds = round(time.time() - attempt.status()["started"], 1)
    attempt.write_status({**attempt.status(), "state": "done", "seconds": seconds})
    context.emit("done", {"seconds": seconds})


def _failed(context: "Context", message: str, *, told: bool) -> int:
    """`told`: the message is for the user, and another try would end in it again."""
    with contextlib.suppress(OSError):  # of a full disk whoever started this stage finds out for itself
        if context.world.size > 1:
            context.attempt.write_failure(context.world.rank, message, told=told)
        if context.world.first:
            context.attempt.write_status({**context.attempt.status(), "state": "failed", "message": message, "told": told})
            context.emit("failed", {"message": message})
    return 1


def _forget_outputs(entry: Entry) -> None:
    """Half-written outputs and checkpoints of an attempt that died. Answers of an evaluation are found again by what was asked."""
    for child in entry.path.iterdir():
        if child.name in ("attempts", "lock", "checkpoints", ANSWERED):
            continue
        shutil.rmtree(child) if child.is_dir() else child.unlink()
    for child in entry.checkpoints.glob("*") if entry.checkpoints.is_dir() else ():
        if not (child / "COMPLETE").is_file():
            shutil.rmtree(child)


if __name__ == "__main__":
    sys.exit(main())
