"""Stages side by side on this machine: as many as may, each after what it needs, GPUs dealt out, nothing left when it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import SPEC, Folder
from rich.console import Console

from dllm_run.cli import running
from dllm_run.cli.display import Display
from dllm_run.cli.running import INTERRUPTED, Runner
from dllm_run.specs.errors import StageFailed
from dllm_run.specs.plan import Plan

SEEDS = "sweep: {grid: {stages.train.seed: [0, 1, 2]}}\n"
WORK = """
import json, os, sys, time
stage, store, log, seconds, fails = sys.argv[1:]
def note(what):
    told = {"stage": stage, "what": what, "time": time.time(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}
    with open(log, "a") as stream:
        stream.write(json.dumps(told) + "\\n")
note("begins")
time.sleep(float(seconds))
note("ends")
if stage in fails.split(","):
    sys.exit(1)
os.makedirs(f"{store}/{stage}", exist_ok=True)
open(f"{store}/{stage}/DONE", "w").write("{}")
"""


@pytest.fixture
def runner(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Runner]:
    """A runner of a sweep whose stages only note when they were there."""

    def made(at_once: int, *, fails: tuple[str, ...] = (), seconds: float = 0.3, text: str = SPEC + SEEDS) -> Runner:
        folder.write(text)
        plan = folder.run()
        store, log = folder.path / "runs" / "store", folder.path / "log"

        def words(self: Runner, stage_id: str) -> list[str]:
            return [sys.executable, "-c", WORK, stage_id, str(store), str(log), str(seconds), ",".join(fails)]

        monkeypatch.setattr(Runner, "_words", words)
        console = Console(file=(folder.path / "screen").open("w"))
        display = Display(console, animate=False)
        run = folder.runs.all_runs()[0]
        return Runner(plan, run, folder.runs, folder.path, console, display, quiet=True, at_once=at_once)

    return made


def spans(folder: Folder) -> dict[str, tuple[float, float]]:
    lines = [json.loads(line) for line in (folder.path / "log").read_text().splitlines()]
    ends = {line["stage"]: line["time"] for line in lines if line["what"] == "ends"}
    return {line["stage"]: (line["time"], ends[line["stage"]]) for line in lines if line["what"] == "begins" and line["stage"] in ends}


def most(found: dict[str, tuple[float, float]]) -> int:
    return max(sum(begin <= moment < end for begin, end in found.values()) for moment, _ in found.values())


def in_order(plan: Plan, found: dict[str, tuple[float, float]]) -> bool:
    return all(found[need.stage][1] <= found[stage_id][0] for stage_id, stage in plan.stages.items() for need in stage.needs)


@pytest.mark.parametrize("at_once", [1, 3])
def test_as_many_run_as_may_and_none_before_what_it_needs(at_once: int, runner: Callable[..., Runner], folder: Folder) -> None:
    made = runner(at_once, seconds=0.6)
    assert made.run() == 0
    found = spans(folder)
    assert found.keys() == made.plan.stages.keys() and in_order(made.plan, found)
    assert most(found) == at_once


def test_gpus_are_dealt_out_and_a_stage_waits_for_its_own(
    runner: Callable[..., Runner], folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "gpus", lambda: ["3", "5"])
    made = runner(3, seconds=0.4, text=SPEC + SEEDS + "compute: {device: cuda, gpus_per_node: 1}\n")
    assert made.run() == 0
    lines = [json.loads(line) for line in (folder.path / "log").read_text().splitlines()]
    found = spans(folder)
    on = {line["stage"]: line["gpus"] for line in lines}
    on_gpu = {stage: found[stage] for stage in found if made.plan.stages[stage].body.compute.device == "cuda"}
    assert {on[stage] for stage in on_gpu} == {"3", "5"}
    for device in ("3", "5"):
        assert most({stage: span for stage, span in on_gpu.items() if on[stage] == device}) == 1
    assert made._free and sorted(made._free) == ["3", "5"], "all given back"


def test_a_failure_lets_those_beside_it_end_and_begins_nothing_more(runner: Callable[..., Runner], folder: Folder) -> None:
    made = runner(3)
    trainings = [stage_id for stage_id, stage in made.plan.stages.items() if stage.body.word == "pretrain"]
    made = runner(3, fails=(trainings[0],))
    with pytest.raises(StageFailed, match=f"train {trainings[0][:6]} failed"):
        made.run()
    found = spans(folder)
    assert set(trainings) <= found.keys(), "those beside it came to their end"
    assert all(folder.runs.entry(stage).done for stage in trainings[1:])
    assert not made.children


def test_an_interrupt_reaches_every_stage_and_leaves_none(runner: Callable[..., Runner], folder: Folder) -> None:
    made = runner(3, seconds=30)
    (folder.path / "kill").write_text("")
    pid = os.getpid()
    killer = subprocess.Popen([sys.executable, "-c", f"import time, os; time.sleep(1.5); os.kill({pid}, {signal.SIGINT:d})"])
    began = time.monotonic()
    assert made.run() == INTERRUPTED and time.monotonic() - began < 120
    killer.wait()
    assert not made.children


def test_devices_are_those_that_cuda_may_see(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,MIG-a")
    assert running.gpus() == ["2", "MIG-a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert running.gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (tmp_path / "nvidia-smi").write_text("#!/bin/bash\necho 'GPU 0: x (UUID: a)'\necho 'GPU 1: y (UUID: b)'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert running.gpus() == ["0", "1"]
