"""A run on disk, read without making objects of its plan: names, stages and what they need, fast for thousands of points."""

import json
from dataclasses import dataclass
from pathlib import Path

from dllm_run.specs.errors import EnvironmentProblem, NotFound
from dllm_run.specs.jobs import Sending, sendings
from dllm_run.specs.store import Runs

from .specs import RECIPE, find
from .trees import find_run


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStage:
    """A stage of the plan."""

    id: str
    name: str
    kind: str
    points: tuple[str, ...]
    """Names of the points that have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A run."""

    folder: Path
    name: str
    stages: tuple[FoundStage, ...]
    """In the order of execution."""
    points: dict[str, dict[str, str]]
    """By name: stage names with their ids."""
    sendings: tuple[Sending, ...]

    @property
    def id(self) -> str:
        """Its id."""
        return self.folder.name

    def stage(self, text: str) -> FoundStage:
        """By name, POINT/STAGE or the beginning of an id. Raises NotFound."""
        point, _, name = text.rpartition("/")
        known = {stage.id: stage for stage in self.stages}
        if point in self.points and name in self.points[point]:
            return known[self.points[point][name]]
        matching = [stage for stage in self.stages if stage.name == text or (len(text) >= 4 and stage.id.startswith(text))]
        if len(matching) == 1:
            return matching[0]
        if matching:
            several = f"{len(matching)} points have a stage {text}: say which, such as {matching[0].points[0]}/{text} or {matching[0].id}"
            raise NotFound(several)
        raise NotFound(f"there is no stage {text} in {self.name}/{self.id}; it has {', '.join(dict.fromkeys(s.name for s in self.stages))}")


def find_one(text: str | None, flags: list[str], runs: Runs) -> FoundRun:
    """The run of a spec, an id, a name or a folder; None: the last one. Raises NotFound."""
    if text is not None and (text.startswith(RECIPE) or text.endswith((".yaml", ".yml"))):
        plan = find(text, flags).compile().plan
        folder = runs.run(plan.name, plan.run_id)
        if not (folder / "plan.json").is_file():
            raise NotFound(f"{text} was never started: there is no {folder}")
        return read_run(folder)
    known = runs.all_runs()
    if text is None and known:
        return read_run(known[-1])
    if text is not None:
        if (Path(text) / "plan.json").is_file():
            return read_run(Path(text))
        folder_found = find_run(text, runs)
        if folder_found is not None:
            return read_run(folder_found)
    names = ", ".join(f"{path.parent.name}/{path.name}" for path in known[-5:])
    raise NotFound(f"there is no run {text or 'yet'} under {runs.root}" + (f"; the last ones: {names}" if names else ""))


def read_run(folder: Path) -> FoundRun:
    """The run in a folder. Raises EnvironmentProblem where it is damaged."""
    try:
        data = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        points = {point["name"]: dict(point["stages"]) for point in data["points"].values()}
        names: dict[str, str] = {}
        of_points: dict[str, list[str]] = {}
        for point, stages in points.items():
            for name, stage_id in stages.items():
                names.setdefault(stage_id, name)
                of_points.setdefault(stage_id, []).append(point)
        found = tuple(
            FoundStage(id=stage_id, name=names[stage_id], kind=data["stages"][stage_id]["body"]["kind"], points=tuple(of_points[stage_id]))
            for stage_id in data["order"]
        )
        return FoundRun(folder=folder, name=data["name"], stages=found, points=points, sendings=tuple(sendings(folder)))
    except OSError as error:
        raise EnvironmentProblem(f"{folder}: {Path(str(error.filename)).name} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentProblem(f"{folder} was written by another version, or is damaged ({error}): compile its spec anew") from None
