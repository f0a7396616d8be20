"""What a plan needs from hubs, brought here: all at once, with one bar, and every problem told together."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from dllm_run.compiler.identity import located
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.hub import snapshot
from dllm_run.specs.inputs import input_files, is_downloaded
from dllm_run.specs.locator import sha256_of
from dllm_run.specs.plan import InputRecord, Plan
from dllm_run.specs.store import Runs

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something on a hub that a stage reads."""

    locator: str
    what: str
    """`model` or `data`."""
    record: InputRecord
    """As it is locked; unresolved where it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An input that is here now."""

    need: Need
    record: InputRecord
    size: int
    downloaded: int
    """Bytes that were not here before."""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        found = None if self.record.revision is None else snapshot(self.record.locator, self.record.revision)
        assert found is not None, "what was fetched is here"
        return found


def needs_of(plan: Plan, runs: Runs | None = None) -> list[Need]:
    """What stages read from hubs; with `runs` only stages that have no result there."""
    found: dict[str, Need] = {}
    for stage_id, stage in plan.stages.items():
        if runs is not None and runs.entry(stage_id).done:
            continue
        for locator, what in located(stage.body).values():
            record = plan.inputs.get(locator)
            if record is not None and record.kind == "hub":
                found.setdefault(locator, Need(locator=locator, what=what, record=record))
    return list(found.values())


def is_here(need: Need) -> bool:
    """Whether all of it is on this disk, by the names of its files."""
    return is_downloaded(need.record, Path())


def fetched(needs: Sequence[Need], console: Console, *, quiet: bool = False) -> list[Fetched]:
    """Every input, downloaded as far as it is not here, its content checked. Raises EnvironmentProblem with all that went wrong."""
    whole = [need for need in needs if is_here(need) and _is_intact(need.record)]
    rest = [need for need in needs if need not in whole]
    done = {need.locator: Fetched(need=need, record=need.record, size=_size(need.record), downloaded=0) for need in whole}
    if rest:
        done.update(_downloaded(rest, console, quiet=quiet))
    return [done[need.locator] for need in needs]


def _downloaded(needs: list[Need], console: Console, *, quiet: bool) -> dict[str, Fetched]:
    # The client of the hub takes a quarter of a second to load: for those who need it.
    hub: Any = importlib.import_module("dllm_run.cli.hub")
    found = dict(_each(needs, lambda need: (need.locator, hub.look(need.locator, need.what, need.record))))
    hub.check_space(list(found.values()))
    with _bar(console, sum(item.size for item in found.values()), quiet=quiet) as (told, say):

        def bring(need: Need) -> tuple[str, Fetched]:
            item = found[need.locator]
            missing = sum(file.size for file in item.missing)
            say(need.locator, item.commit)
            record = hub.download(item, need.record, told)
            return need.locator, Fetched(need=need, record=record, size=item.size, downloaded=missing)

        return dict(_each(needs, bring))


def _each(needs: list[Need], do: Callable[[Need], _T]) -> list[_T]:
    """Do something for every input. Raises EnvironmentProblem with the problems of all."""
    done, problems = [], []
    for need in needs:
        try:
            done.append(do(need))
        except EnvironmentProblem as error:
            problems.append(str(error))
    if problems:
        raise EnvironmentProblem("\n".join(problems))
    return done


@contextmanager
def _bar(console: Console, size: int, *, quiet: bool) -> Iterator[tuple[Callable[[int], None], Callable[[str, str], None]]]:
    """A bar on a terminal, a line an input elsewhere: how many bytes came, and what comes now."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("", total=size)

        def say(locator: str, commit: str) -> None:
            progress.update(task, description=locator)
            if not quiet and not console.is_terminal:
                console.print(f"fetching {locator} at {commit[:12]}", markup=False)

        yield lambda count: progress.advance(task, count), say


def _size(record: InputRecord) -> int:
    return sum(file.path.stat().st_size for file in input_files(record, Path()))


def _is_intact(record: InputRecord) -> bool:
    return all(sha256_of(path) == record.files[name] for name, path in input_files(record, Path()))
