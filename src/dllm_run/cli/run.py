"""`dllm-run run SPEC`: stages in order on this machine, each a child process, with what they tell on the screen."""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers import local
from dllm_run.launchers.job import Job
from dllm_run.specs.errors import EnvironmentProblem, StageFailed
from dllm_run.specs.packages import missing_packages
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Entry, Runs
from dllm_run.specs.vocabulary.launchers.local import Local
from dllm_run.specs.vocabulary.spec import Compare

from .diagnostics import show
from .display import Display
from .fetch import write_lock
from .fetching import fetched, is_here, needs_of
from .follow import Tail
from .plan import heading, stage_table
from .rundir import prepare
from .show import document, print_results
from .specs import Named, find
from .state import states
from .tree import tree

_POLL_SECONDS = 0.05
_LOG_LINES = 20
INTERRUPTED = 130


def main(options: argparse.Namespace) -> int:
    """Run what is not done yet. 0 done, 1 a stage failed, 6 something is missing here, 130 interrupted."""
    named = find(options.spec, options.set)
    runs = Runs(Path(options.runs))
    console = Console(highlight=False, stderr=options.json)
    compiled = _at_hand(named, runs, console, quiet=options.quiet)
    plan = compiled.plan
    try:
        folder = prepare(tree(named, compiled), plan, runs)
    except OSError as error:
        raise EnvironmentProblem(f"{error.filename or options.runs} cannot be written: {error.strerror}") from None
    if plan.inputs:
        write_lock(named, plan, [])
    before = states(plan, runs)
    console.print(heading(plan), stage_table(before), sep="\n")
    with Display(console, animate=not options.quiet) as display:
        runner = _Runner(plan, folder, runs, named.base, display, quiet=options.quiet)
        code = runner.run()
    if options.json:
        print(json.dumps(document(plan, runs, compiled.spec.compare), indent=2, ensure_ascii=False))
        return code
    if code == INTERRUPTED:
        console.print("interrupted: the same command continues")
    if code == 0:
        _conclude(console, plan, runs, folder, compiled.spec.compare, ran=runner.ran)
    return code


def _at_hand(named: Named, runs: Runs, console: Console, *, quiet: bool) -> Compiled:
    """The compiled spec with all that it reads on this machine: what is on a hub is downloaded."""
    compiled = named.compile()
    _refuse(compiled)
    needs = [need for need in needs_of(compiled.plan, runs) if not is_here(need)]
    if needs:
        write_lock(named, compiled.plan, [item.record for item in fetched(needs, console, quiet=quiet)])
        # With their content known the stages have other ids.
        compiled = named.compile()
    show(compiled.warnings)
    plan = compiled.plan
    read = {locator for stage_id, stage in plan.stages.items() if not runs.entry(stage_id).done for locator in stage.inputs}
    # What only finished stages read need not be downloaded; a file that changed shall be told all the same.
    drift = named.lock.drift(record for locator, record in plan.inputs.items() if record.kind != "hub" or locator in read)
    missing = missing_packages(stage.body for stage_id, stage in plan.stages.items() if not runs.entry(stage_id).done)
    if missing:
        raise EnvironmentProblem("; ".join(missing))
    if drift:
        raise EnvironmentProblem("; ".join(drift) + f": `dllm-run lock {named.source.file} --update` accepts it")
    return compiled


def _refuse(compiled: Compiled) -> None:
    """Raises EnvironmentProblem for what no download mends."""
    launch, plan = compiled.spec.launch, compiled.plan
    if not isinstance(launch, Local):
        text = f"submitting to {launch.word} is not part of this version: `dllm-run compile -o DIR` writes its scripts,"
        raise EnvironmentProblem(f"{text} `-s launch=local` runs it here")
    here = [record.locator for record in plan.inputs.values() if not record.resolved and record.kind != "hub"]
    parts = [f"not on this machine: {', '.join(here)}"] if here else []
    if parts:
        raise EnvironmentProblem("; ".join(parts))


@dataclass(slots=True)
class _Runner:
    """Runs the stages of a plan one after the other and answers Ctrl-C."""

    plan: Plan
    folder: Path
    runs: Runs
    base: Path
    display: Display
    quiet: bool
    ran: list[str] = field(default_factory=list)
    child: subprocess.Popen[bytes] | None = None
    interrupts: int = 0

    def run(self) -> int:
        """The exit code."""
        earlier = signal.signal(signal.SIGINT, self._interrupt)
        earlier_term = signal.signal(signal.SIGTERM, self._interrupt)
        try:
            for stage_id in self.plan.stages:
                entry = self.runs.entry(stage_id)
                if entry.done:
                    continue
                code = self._stage(stage_id, entry)
                if code != 0:
                    return code
            return 0
        finally:
            signal.signal(signal.SIGINT, earlier)
            signal.signal(signal.SIGTERM, earlier_term)
            if self.child is not None:
                local.cancel(self.child)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupts += 1
        if self.child is not None:
            local.interrupt(self.child)

    def _stage(self, stage_id: str, entry: Entry) -> int:
        known = len(entry.attempts())
        if _is_taken(entry):
            self.display.handle({"event": "note", "text": f"another run works on {self.plan.name_of(stage_id)}: waiting for it"})
        launch_log = entry.path / "attempts" / "launch.log"
        processes = self.plan.stages[stage_id].body.compute.world
        job = Job(plan=self.folder / "plan.json", stage_id=stage_id, runs=self.runs.root, base=self.base, processes=processes)
        self.child = local.submit(job, launch_log)
        self.ran.append(stage_id)
        tail: Tail | None = None
        while True:
            code = self.child.poll()
            if tail is None and len(entry.attempts()) > known:
                tail = Tail(entry.attempts()[-1].events)
            for event in tail.read() if tail is not None else ():
                # A failure is told once, at the end, with the place of its log.
                if event["event"] != "failed" and (not self.quiet or event["event"] == "result"):
                    self.display.handle(event)
            if code is not None:
                break
            time.sleep(_POLL_SECONDS)
        self.child = None
        if self.interrupts:
            return INTERRUPTED
        if code != 0 or not entry.done:
            attempts = entry.attempts()
            # Of several processes the one that failed may not be the first.
            log = Path(attempts[-1].status().get("log", attempts[-1].log)) if len(attempts) > known else launch_log
            raise StageFailed(_report(self.plan.name_of(stage_id), entry, log, code))
        return 0


def _is_taken(entry: Entry) -> bool:
    """Whether another process holds the stage."""
    path = entry.path / "lock"
    if not path.is_file():
        return False
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _report(name: str, entry: Entry, log: Path, code: int) -> str:
    """Why a stage failed: its own sentence if it had one, and the end of its log if it had none."""
    attempts = entry.attempts()
    message = attempts[-1].status().get("message") if attempts else None
    how = f"was killed by signal {-code}" if code < 0 else "failed"
    text = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    shown = "\n".join(f"    {line}" for line in text[-_LOG_LINES:])
    # A sentence without traceback behind it was meant for the user; the log adds nothing.
    own = message is not None and not any(line.startswith("Traceback") for line in text)
    return f"stage {name} {how}" + (f": {message}" if message else "") + ("" if own or not shown else f"\n{shown}") + f"\n  log: {log}"


def _conclude(console: Console, plan: Plan, runs: Runs, folder: Path, compare: Compare | None, *, ran: list[str]) -> None:
    print_results(console, plan, states(plan, runs), compare, apart=ran)
    if not ran:
        console.print("every stage is done: nothing to run")
    console.print(f"[dim]{os.path.relpath(folder)}[/dim]")
