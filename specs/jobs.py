"""What was sent off of a run, as files in its folder: `jobs/N/` holds what each sending wrote down, so that another shell can find it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .canonical import pretty
from .store import Runs, read_json, write_atomic

SCHEMA = "dllm-run/jobs/2"
FILE = "jobs.json"
CANCELLED = "cancelled"
"""Name of the marker beside it: what ends now shall not be queued again."""
CANNOT_TELL = "unknown"
"""State of a job whose launcher cannot be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentJob:
    """A job, or an array of them, as its launcher knows it."""

    id: str
    name: str
    tasks: tuple[tuple[str, ...], ...]
    """Ids of the stages that each one does, one after the other; several of an array by index."""
    log: str = ""
    """Where what the job prints goes; `{id}` stands for the job."""
    after: str = ""
    """What it waits for, in the launcher's words."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The ids of all of its stages."""
        return tuple(stage for task in self.tasks for stage in task)

    def id_of(self, index: int) -> str:
        """How the launcher names one of an array."""
        return f"{self.id}_{index}" if len(self.tasks) > 1 else self.id

    def log_of(self, stage: str) -> Path:
        """What the job of a stage printed."""
        (index,) = [index for index, task in enumerate(self.tasks) if stage in task]
        return Path(self.log.replace("{id}", self.id_of(index)))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"id": self.id, "name": self.name, "tasks": [list(task) for task in self.tasks], "log": self.log, "after": self.after}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Everything that one `submit` has sent off."""

    folder: Path
    launcher: str
    host: str
    user: str
    sent: float
    base: str
    """Folder that relative paths of the spec start from."""
    code: str = ""
    """Of the frozen copy of dllm-run; empty: that which is installed."""
    jobs: tuple[SentJob, ...] = field(default=())

    @property
    def cancelled(self) -> bool:
        """Whether somebody took it back."""
        return (self.folder / CANCELLED).is_file()

    def cancel(self) -> None:
        """Leave the marker. Raises OSError where it cannot be written."""
        write_atomic(self.folder / CANCELLED, "")

    def write(self) -> None:
        """Write it down. Raises OSError where it cannot be written."""
        data = {
            "schema": SCHEMA,
            "launcher": self.launcher,
            "host": self.host,
            "user": self.user,
            "sent": self.sent,
            "base": self.base,
            "code": self.code,
        }
        write_atomic(self.folder / FILE, pretty({**data, "jobs": [job.to_json() for job in self.jobs]}))


def new_folder(run: Path) -> Path:
    """Make the folder of the next sending of a run. Raises OSError where it cannot be made."""
    number = max((int(path.name) for path in _folders(run)), default=0) + 1
    while True:
        folder = run / "jobs" / str(number)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # somebody else sends the same run off
            number += 1
        else:
            return folder


def sendings(run: Path) -> list[Sending]:
    """What was sent off of a run, oldest first; what is damaged or half-written is left out."""
    found = [_read(folder) for folder in sorted(_folders(run), key=lambda folder: int(folder.name))]
    return [sending for sending in found if sending is not None]


def all_sendings(runs: Runs) -> list[Sending]:
    """What was sent off of any run: runs share stages."""
    return [sending for run in runs.all_runs() for sending in sendings(run)]


def _folders(run: Path) -> Iterator[Path]:
    folder = run / "jobs"
    if folder.is_dir():
        yield from (child for child in folder.iterdir() if re.fullmatch(r"\d+", child.name))


def _read(folder: Path) -> Sending | None:
    data = read_json(folder / FILE)
    if data is None or data.get("schema") != SCHEMA:
        return None
    try:
        jobs = tuple(
            SentJob(id=item["id"], name=item["name"], tasks=_tasks(item), log=item["log"], after=item["after"]) for item in data["jobs"]
        )
        return Sending(
            folder=folder,
            launcher=data["launcher"],
            host=data["host"],
            user=data["user"],
            sent=float(data["sent"]),
            base=data["base"],
            code=data["code"],
            jobs=jobs,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _tasks(item: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(str(stage) for stage in task) for task in item["tasks"])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """What a launcher says of the job of one stage."""

    state: str
    """`queued`, `running`, `done`, `failed`, `cancelled`, `gone` (no longer known), or `unknown` (the launcher cannot be asked)."""
    job: str
    detail: str = ""
    """Why it waits, where it runs, or how it ended."""
    alone: bool = True
    """Whether it does this stage and nothing else, so that its own state is the stage's."""

    @property
    def lives(self) -> bool:
        """Whether it may still do something."""
        return self.state in ("queued", "running", CANNOT_TELL)
