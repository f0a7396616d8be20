"""Stages of a plan as children of this process: each as soon as what it needs is done, so many at a time, with GPUs of its own."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console

from dllm_run.launchers import local
from dllm_run.launchers.fanout import over_hosts
from dllm_run.launchers.job import Job
from dllm_run.specs.disk import hindrance, user_name
from dllm_run.specs.errors import EnvironmentProblem, StageFailed
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Entry, Runs
from dllm_run.specs.vocabulary.over_hosts import OverHosts

from .display import Display
from .follow import Tail

_POLL_SECONDS = 0.05
_LOG_LINES = 20
INTERRUPTED = 130


@dataclass(slots=True)
class _Child:
    """A stage that runs."""

    stage_id: str
    entry: Entry
    process: subprocess.Popen[bytes]
    log: Path
    known: int
    """Attempts that were there before."""
    display: Display
    label: str
    devices: tuple[str, ...]
    tail: Tail | None = None


@dataclass(slots=True)
class Runner:
    """Runs the stages of a plan and answers Ctrl-C."""

    plan: Plan
    folder: Path
    runs: Runs
    base: Path
    console: Console
    display: Display
    quiet: bool
    at_once: int
    ran: list[str] = field(default_factory=list)
    children: list[_Child] = field(default_factory=list)
    interrupts: int = 0
    failure: str = ""
    _free: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)
    """Stages of which it was said that another user works on them."""

    def run(self) -> int:
        """The exit code. Raises StageFailed, or EnvironmentProblem, when a stage cannot go on and those beside it have ended."""
        # Under nohup a run outlives its terminal.
        asking = [signal.SIGINT, signal.SIGTERM] + [signal.SIGHUP] * (signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)
        earlier = {number: signal.signal(number, self._interrupt) for number in asking}
        problem: EnvironmentProblem | None = None
        try:
            self._free = gpus()
            waiting = [stage_id for stage_id in self.plan.stages if not self.runs.entry(stage_id).done]
            while self.children or (waiting and not self.interrupts and not self.failure):
                if not self.interrupts and not self.failure:
                    try:
                        self._begin(waiting)
                    except EnvironmentProblem as error:
                        # What runs beside it goes on to its end.
                        self.failure, problem = str(error), error
                for child in list(self.children):
                    self._look_at(child)
                time.sleep(_POLL_SECONDS)
            if self.failure:
                raise problem if problem is not None and self.failure == str(problem) else StageFailed(self.failure)
            return INTERRUPTED if self.interrupts else 0
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)
            for child in self.children:
                local.end(child.process)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupts += 1
        for child in self.children:
            local.interrupt(child.process)

    def _begin(self, waiting: list[str]) -> None:
        """Start what can be started, in the order of the plan."""
        for stage_id in list(waiting):
            if len(self.children) >= self.at_once:
                return
            entry = self.runs.entry(stage_id)
            if entry.done:
                waiting.remove(stage_id)
                continue
            if not all(self.runs.entry(need.stage).done for need in self.plan.stages[stage_id].needs):
                continue
            if not self._may_write(stage_id, entry):
                continue
            devices = self._devices(stage_id)
            if devices is not None:
                waiting.remove(stage_id)
                self._start(stage_id, entry, devices)

    def _may_write(self, stage_id: str, entry: Entry) -> bool:
        """Whether a stage can be worked on here. Raises EnvironmentProblem where nobody works on one that another user has begun."""
        problem = hindrance(entry.path)
        if problem is None:
            return True
        if not _is_taken(entry):
            if entry.done:  # since it was looked at
                return False
            raise problem
        if stage_id not in self._told:
            self._told.add(stage_id)
            text = f"{user_name(entry.path.stat().st_uid)} works on {self.plan.names[stage_id]}: waiting for it"
            self.display.handle({"event": "note", "text": text})
        return False

    def _devices(self, stage_id: str) -> tuple[str, ...] | None:
        """GPUs for a stage; None: it has to wait for those of others. Where there are too few at all it is told so by the runtime."""
        compute = self.plan.stages[stage_id].body.compute
        wanted = compute.world if compute.device == "cuda" and self.at_once > 1 else 0
        if len(self._free) < wanted and self.children:
            return None
        taken, self._free = tuple(self._free[:wanted]), self._free[wanted:]
        return taken

    def _start(self, stage_id: str, entry: Entry, devices: tuple[str, ...]) -> None:
        name = self.plan.names[stage_id]
        label = f"{name} {stage_id[:6]}" if self.at_once > 1 and Counter(self.plan.names.values())[name] > 1 else name
        # One line that moves belongs to one stage; of several each has lines of its own.
        display = self.display if self.at_once == 1 else Display(self.console, animate=False)
        if _is_taken(entry):
            display.handle({"event": "note", "text": f"another run works on {name}: waiting for it"})
        log = entry.path / "attempts" / "launch.log"
        known = len(entry.attempts())
        process = local.start(self._words(stage_id), log, devices or None)
        self.children.append(_Child(stage_id, entry, process, log, known, display, label, devices))
        self.ran.append(stage_id)
        if self.interrupts:
            local.interrupt(process)  # the signal came while it was started

    def _words(self, stage_id: str) -> list[str]:
        """The command line of a stage: here, or on the hosts that its launch names. Raises EnvironmentProblem where they cannot hold it."""
        body = self.plan.stages[stage_id].body
        if isinstance(body.launch, OverHosts):
            return over_hosts(body, stage_id, folder=self.folder, runs=self.runs, base=self.base)
        job = Job(plan=self.folder / "plan.json", stage_id=stage_id, runs=self.runs.root, base=self.base, processes=body.compute.world)
        return job.command()

    def _look_at(self, child: _Child) -> None:
        code = child.process.poll()
        if child.tail is None and len(child.entry.attempts()) > child.known:
            child.tail = Tail(child.entry.attempts()[-1].events)
        for event in child.tail.read() if child.tail is not None else ():
            # A failure is told once, at the end, with the place of its log.
            if event["event"] != "failed" and (not self.quiet or event["event"] == "result"):
                child.display.handle({**event, "stage": child.label} if "stage" in event else event)
        if code is None:
            return
        self.children.remove(child)
        self._free.extend(child.devices)
        if not self.interrupts and (code != 0 or not child.entry.done):
            attempts = child.entry.attempts()
            # Of several processes the one that failed may not be the first.
            log = Path(attempts[-1].status().get("log", attempts[-1].log)) if len(attempts) > child.known else child.log
            report = _report(child.label, child.entry, log, code)
            self.failure = f"{self.failure}\n{report}" if self.failure else report


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [device for device in given.split(",") if device]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    return [str(number) for number in range(count)]


def _is_taken(entry: Entry) -> bool:
    """Whether another process holds the stage."""
    path = entry.path / "lock"
    if not path.is_file():
        return False
    with path.open() as stream:  # it may be another user's
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
    if message is None and (problem := hindrance(entry.path)) is not None:
        message, own = str(problem), True
    return f"stage {name} {how}" + (f": {message}" if message else "") + ("" if own or not shown else f"\n{shown}") + f"\n  log: {log}"
