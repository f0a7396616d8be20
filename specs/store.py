"""The layout of runs and store on disk: entries, markers, attempts. Read and written by all layers."""

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .canonical import pretty
from .locator import sha256_of

ANSWERED = "answered"
"""Folder of a stage in which an evaluation keeps its answers until it is done."""


def write_atomic(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one. Raises OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file as a map, or None where it is missing or unreadable."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a stage: status, events, metrics and log."""

    path: Path

    @property
    def number(self) -> int:
        """Counts from 1."""
        return int(self.path.name)

    @property
    def events(self) -> Path:
        """JSON lines for whoever watches."""
        return self.path / "events.jsonl"

    @property
    def metrics(self) -> Path:
        """JSON lines of numbers by step."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """Everything that the process printed; of several, the first."""
        return self.log_of(0)

    def log_of(self, rank: int) -> Path:
        """Everything that one of several processes printed."""
        return self.path / ("log.txt" if rank == 0 else f"log.rank{rank}.txt")

    def write_failure(self, rank: int, message: str, *, told: bool, killed: bool = False) -> None:
        """Keep what one of several processes died of: who is to blame is only known when all have ended.

        `told`: it is a sentence for the user. `killed`: the process had no time to say it itself.
        """
        content = {"rank": rank, "message": message, "told": told, "killed": killed, "time": time.time()}
        write_atomic(self.path / f"failed.{rank}.json", pretty(content))

    def failures(self) -> list[dict[str, Any]]:
        """What processes died of, the first one first; one that was killed before those that noticed."""
        found = [content for path in self.path.glob("failed.*.json") if (content := read_json(path)) is not None]
        return sorted(found, key=lambda content: (not content.get("killed"), float(content["time"])))

    def status(self) -> dict[str, Any]:
        """The last status that was written, or an empty map."""
        return read_json(self.path / "status.json") or {}

    def write_status(self, status: dict[str, Any]) -> None:
        """Replace the status."""
        write_atomic(self.path / "status.json", pretty({**status, "updated": round(time.time(), 3)}))


@dataclass(frozen=True, slots=True)
class Entry:
    """One stage in the store: `<output>/`, `best/` and `steps/step-N/` of a training, DONE, `checkpoints/step-N/`, `attempts/N/`."""

    path: Path

    @property
    def done_file(self) -> Path:
        """Written last: the sha256 of every file of the outputs."""
        return self.path / "DONE"

    @property
    def done(self) -> bool:
        """Whether the stage has its result."""
        return self.done_file.is_file()

    def output(self, name: str) -> Path:
        """The folder of an output."""
        return self.path / name

    def weights(self, checkpoint: str) -> Path:
        """The folder of a trained model: `last`, `best`, or `step N`."""
        if checkpoint == "last":
            return self.output("model")
        return self.path / "best" if checkpoint == "best" else self.path / "steps" / checkpoint.replace(" ", "-")

    @property
    def results_file(self) -> Path:
        """What the stage has to say, as one JSON map."""
        return self.path / "results.json"

    def results(self) -> dict[str, Any] | None:
        """The stage's results, or None while there are none."""
        return read_json(self.results_file)

    @property
    def checkpoints(self) -> Path:
        """Folder of `step-N`."""
        return self.path / "checkpoints"

    def complete_checkpoints(self) -> list[tuple[int, Path]]:
        """Step and folder of every checkpoint that was written to the end, oldest first."""
        found = []
        for folder in self.checkpoints.glob("step-*"):
            step = folder.name.removeprefix("step-")
            if step.isdigit() and (folder / "COMPLETE").is_file():
                found.append((int(step), folder))
        return sorted(found)

    def attempts(self) -> list[Attempt]:
        """All tries, oldest first."""
        folder = self.path / "attempts"
        numbers = sorted(int(child.name) for child in folder.iterdir() if child.name.isdigit()) if folder.is_dir() else []
        return [Attempt(folder / str(number)) for number in numbers]

    def attempt(self, number: int) -> Attempt:
        """A try by its number."""
        return Attempt(self.path / "attempts" / str(number))

    def new_attempt(self) -> Attempt:
        """Make the folder of the next try."""
        number = max((attempt.number for attempt in self.attempts()), default=0) + 1
        attempt = self.attempt(number)
        attempt.path.mkdir(parents=True)
        return attempt

    def finish(self) -> None:
        """Write DONE over every file of the outputs and the results. Raises OSError where it cannot be written."""
        files = {path.relative_to(self.path).as_posix(): sha256_of(path) for path in sorted(self._output_files())}
        write_atomic(self.done_file, pretty({"files": files}))

    def _output_files(self) -> Iterator[Path]:
        for child in self.path.iterdir():
            if child.name in ("attempts", "checkpoints", "DONE", "lock", ANSWERED) or child.name.startswith("."):
                continue
            yield from (path for path in child.rglob("*") if path.is_file()) if child.is_dir() else (child,)


@dataclass(frozen=True, slots=True)
class Runs:
    """The folder that holds everything: `store/` and one folder an experiment."""

    root: Path

    def open_to_group(self) -> None:
        """Of a folder that its group may write, what is made from now on is the group's too, as in a shared repository of git."""
        with contextlib.suppress(OSError):
            if self.root.stat().st_mode & stat.S_IWGRP:
                os.umask(os.umask(0) & ~stat.S_IRWXG)

    def entry(self, stage_id: str) -> Entry:
        """A stage's place in the store."""
        return Entry(self.root / "store" / stage_id)

    def run(self, name: str, run_id: str) -> Path:
        """The folder of one run."""
        return self.root / name / run_id

    def all_runs(self) -> list[Path]:
        """Every run's folder, the one last started at the end."""
        found = [path.parent for path in self.root.glob("*/*/plan.json") if path.parts[-3] != "store"]
        return sorted(found, key=lambda path: (path / "plan.json").stat().st_mtime)
