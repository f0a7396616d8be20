"""What a stage has at hand while it runs: its plan, its place in the store, and a line to whoever watches."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dllm_run.specs.hub import cache_folder
from dllm_run.specs.inputs import input_files, is_downloaded
from dllm_run.specs.locator import LocatedFile, sha256_of
from dllm_run.specs.pace import Pace
from dllm_run.specs.plan import Plan, PlannedStage
from dllm_run.specs.reference import Reference
from dllm_run.specs.store import Attempt, Entry, Runs
from dllm_run.specs.vocabulary.compute import Compute

from .failure import Failure
from .trackers import Tracker
from .world import ALONE, World

PROGRESS_SECONDS = 0.25


@dataclass(slots=True)
class Context:
    """One stage of a plan, in one attempt."""

    plan: Plan
    stage_id: str
    runs: Runs
    base: Path
    """Folder of the spec: relative paths start here."""
    attempt: Attempt
    world: World = ALONE
    """Which of the processes of the stage this is. The first one alone tells anything."""
    asked: bool = False
    """Set by a signal: this process is asked to save what there is and stop."""
    interrupted: bool = False
    """Set when all processes have agreed to do so."""
    trackers: list[Tracker] = field(default_factory=list)
    """Where metrics go beside the JSON lines."""
    _last_progress: float = field(default=0.0)
    _pace: Pace = field(default_factory=Pace)

    @property
    def stage(self) -> PlannedStage:
        """The stage."""
        return self.plan.stages[self.stage_id]

    @property
    def compute(self) -> Compute:
        """What it computes on."""
        return self.stage.body.compute

    @property
    def device(self) -> torch.device:
        """Where tensors live. Raises Failure where the plan's device is not here."""
        device = self.compute.device or "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            cure = "-s compute.device=cpu" + (" -s compute.gpus_per_node=0" if self.compute.gpus_per_node else "")
            raise Failure(f"the plan asks for a GPU and there is none here: `{cure}`, or run it where one is")
        return torch.device(device)

    @property
    def entry(self) -> Entry:
        """Its place in the store."""
        return self.runs.entry(self.stage_id)

    @property
    def seed(self) -> int:
        """The seed of its random numbers. Stages that draw none never ask."""
        assert self.stage.body.seed is not None
        return self.stage.body.seed

    def output_of(self, reference: Reference) -> Path:
        """The folder of another stage's output. Raises Failure where that stage is not done."""
        entry = self.runs.entry(reference.stage)
        if not entry.done:
            raise Failure(f"stage {self.plan.name_of(reference.stage)} ({reference.stage}) has no result in this store yet: run it first")
        return entry.output(reference.output)

    def input_files(self, locator: str) -> list[LocatedFile]:
        """The files of an input. Raises Failure where they are missing, or are not those of the plan."""
        record = self.plan.inputs[locator]
        files = input_files(record, self.base)
        if record.kind == "hub" and not is_downloaded(record, self.base):
            raise Failure(f"{locator} is not downloaded here: `dllm-run fetch SPEC` brings it to {cache_folder()} (HF_HOME moves that)")
        if not files:
            raise Failure(f"{locator} is not on this machine (relative paths start at the folder of the spec)")
        for name, path in files:
            if record.resolved and record.files.get(name) != sha256_of(path):
                raise Failure(f"{locator}: {name} is not the file that the plan was made for; `dllm-run lock --update` accepts it")
        return files

    def emit(self, event: str, fields: Mapping[str, Any]) -> None:
        """Append one line for whoever watches."""
        if not self.world.first:
            return
        with self.attempt.events.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": event, "time": round(time.time(), 3), **fields}, ensure_ascii=False) + "\n")

    def note(self, text: str) -> None:
        """A line for the user."""
        self.emit("note", {"text": text})

    def progress(self, unit: str, done: int, total: int, numbers: Mapping[str, float] | None = None) -> None:
        """Tell how far the stage is, at most a few times a second, and as `eta` the seconds that it still takes, once that is known."""
        now = time.monotonic()
        if not self.world.first:
            return
        self._pace.update(unit, done, total, now)
        if done < total and now - self._last_progress < PROGRESS_SECONDS:
            return
        self._last_progress = now
        left = self._pace.seconds_left
        told = {"unit": unit, "done": done, "total": total, **(numbers or {}), **({} if left is None else {"eta": round(left, 1)})}
        self.emit("progress", told)
        self.attempt.write_status({**self.attempt.status(), **told})

    def metric(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line of numbers of a step."""
        if not self.world.first:
            return
        with self.attempt.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **values}) + "\n")
        for tracker in self.trackers:
            tracker.log(step, values)
