"""`doctor --selftest`: a small experiment on the devices of this machine: train, interrupt, continue, sample, evaluate, share."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .checks import Check, ok, problem

_STEPS = 60
_DATA = "data.docs.limit=400"
ALONE = (
    f"stages.train.duration={_STEPS} steps",
    "stages.train.checkpoint={every: 5 steps}",
    _DATA,
    "stages.bound.likelihood={estimator: elbo, samples: 1}",
    "stages.bound.limit=20",
    "stages.restore=null",
    "stages.write.max_new_tokens=32",
)
"""What makes the recipe small."""
_SECONDS = 900
STRATEGIES = ("ddp", "zero2", "fsdp2")


def selftest(told: Mapping[str, Any]) -> Iterator[Check]:
    """Each part as a finding. `told`: what torch says of this machine."""
    devices = len(told["devices"])
    place = ["compute.gpus_per_node=1"] if devices else ["compute.device=cpu"]
    with tempfile.TemporaryDirectory(prefix="dllm-run-selftest-") as folder:
        yield from _one(Path(folder), place)
        count = min(devices, 2) if devices > 1 else (2 if not devices and len(os.sched_getaffinity(0)) > 1 else 0)
        for strategy in STRATEGIES if count else ():
            yield _shared(Path(folder), strategy, count, cuda=devices > 1)


def _words(*flags: str) -> list[str]:
    sets = [word for flag in flags for word in ("-s", flag)]
    return [sys.executable, "-m", "dllm_run.cli.main", "run", "recipe:quickstart", "--quiet", *sets]


def _one(folder: Path, place: list[str]) -> Iterator[Check]:
    words = _words(*ALONE, *place)
    began = time.monotonic()
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    interrupted = _interrupt_when_saved(process, folder)
    yield _finding(
        "train", interrupted and process.returncode == 130, "trained, and stopped with a checkpoint when it was interrupted", process
    )
    again = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    stages = _stages(folder)
    train = stages.get("train", {})
    since = max((int(status.get("from", 0)) for status in train.get("attempts", [])), default=0)
    losses = train.get("losses", [])
    fell = bool(losses) and sum(losses[-5:]) < sum(losses[:5])
    text = f"continued from step {since}; loss {losses[0]:.2f} to {losses[-1]:.2f} in {_STEPS} steps" if losses else "nothing was trained"
    yield _finding("resume", again.returncode == 0 and since > 0 and fell, text, again)
    for name, what in (("write", "sample"), ("bound", "evaluate")):
        yield _finding(what, bool(stages.get(name, {}).get("done")), f"stage {name} has its result", again)
    yield ok("time", f"{time.monotonic() - began:.0f} s for all of it")


def _interrupt_when_saved(process: subprocess.Popen[str], folder: Path) -> bool:
    until = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < until:
        if any(folder.glob("runs/store/*/checkpoints/step-*/COMPLETE")):
            process.send_signal(signal.SIGINT)
            process.wait(timeout=_SECONDS)
            return True
        time.sleep(0.05)
    process.kill()
    process.wait()
    return False


def shared(strategy: str, count: int, *, cuda: bool) -> list[str]:
    """Flags under which several processes train a little."""
    place = f"compute.gpus_per_node={count}" if cuda else "compute.device=cpu"
    # Another seed is another training, of data that are prepared already.
    train = ["stages.train.duration=10 steps", f"stages.train.seed={STRATEGIES.index(strategy)}"]
    alone = ["stages.bound=null", "stages.restore=null", "stages.write=null"]
    return [_DATA, place, f"compute.processes={count}", f"stages.train.compute={{strategy: {strategy}}}", *train, *alone]


def _shared(folder: Path, strategy: str, count: int, *, cuda: bool) -> Check:
    words = _words(*shared(strategy, count, cuda=cuda))
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    return _finding(strategy, done.returncode == 0, f"{count} processes shared a training", done)


def _finding(name: str, good: bool, text: str, process: Any) -> Check:
    if good:
        return ok(name, text)
    said = (process.stderr if isinstance(process.stderr, str) else process.stderr.read()).strip().splitlines()
    return problem(name, "; ".join(said[-3:]) or f"exit code {process.returncode}", "put this report into an issue")


def _stages(folder: Path) -> dict[str, dict[str, Any]]:
    """What the store has, by the names of stages."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (folder / "runs" / "store").glob("*/attempts"):
        attempts = sorted(entry.glob("[0-9]*"), key=lambda path: int(path.name))
        statuses = [json.loads((attempt / "status.json").read_text(encoding="utf-8")) for attempt in attempts]
        lines = [
            line
            for attempt in attempts
            if (attempt / "metrics.jsonl").is_file()
            for line in (attempt / "metrics.jsonl").open(encoding="utf-8")
        ]
        losses = [float(values["loss"]) for values in map(json.loads, lines) if "loss" in values]
        if statuses:
            done = (entry.parent / "DONE").is_file()
            found[str(statuses[0]["name"])] = {"done": done, "attempts": statuses, "losses": losses}
    return found
