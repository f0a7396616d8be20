"""What the points of a plan measure: the scores of every point, by eval stage and task."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.stages.eval import Eval

from .questions import Lines
from .state import StageState

Key = tuple[str, int]
"""Name of a metric and how many of that name stand before it: lm-eval gives one metric after several filters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A column: a number that a task gives."""

    key: Key
    label: str
    """The name, and what tells it from others of that name."""
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number of one evaluation, with the standard error that the task itself gives it."""

    value: float
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one point has of a task."""

    stage: str
    """Id of the stage: points that share it share one answer."""
    status: str
    scores: dict[Key, Score] | None
    """None: not done yet."""
    lines: Lines | None
    """Where its answers stand, question by question; None: not done, or not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One task of one eval stage, over all points that have it."""

    stage: str
    task: str
    metrics: tuple[Metric, ...]
    """In the order in which results have them; none while nothing is done."""
    answers: dict[str, Answer]
    """By point id, in the order of the plan."""

    def constant(self, metric: Metric) -> float | None:
        """The value that every finished evaluation gives, where there are several."""
        found = {answer.stage: answer.scores.get(metric.key) for answer in self.answers.values() if answer.scores is not None}
        values = {None if score is None else score.value for score in found.values()}
        return values.pop() if len(found) > 1 and len(values) == 1 else None

    @property
    def telling(self) -> tuple[Metric, ...]:
        """The metrics that differ somewhere; all of them if none does."""
        return tuple(metric for metric in self.metrics if self.constant(metric) is None) or self.metrics

    @property
    def constants(self) -> tuple[tuple[Metric, float], ...]:
        """The others, with their value."""
        telling = self.telling
        found = ((metric, self.constant(metric)) for metric in self.metrics if metric not in telling)
        return tuple((metric, value) for metric, value in found if value is not None)


def asked_of(plan: Plan, states: Iterable[StageState]) -> tuple[Asked, ...]:
    """Every task of every eval stage, in the order of execution."""
    by_id = {state.id: state for state in states}
    answers: dict[tuple[str, str], dict[str, Answer]] = {}
    tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
    position = {stage_id: index for index, stage_id in enumerate(plan.stages)}
    for point_id, point in plan.points.items():
        for name, stage_id in sorted(point.stages.items(), key=lambda item: position[item[1]]):
            body = plan.stages[stage_id].body
            state = by_id[stage_id]
            lines = _lines(state) if isinstance(body, Eval) else {}
            for task in dict.fromkeys(task.name for task in body.tasks) if isinstance(body, Eval) else ():
                found = ((state.results or {}).get("tasks") or {}).get(task)
                rows = found["table"] if found is not None else None
                scores = None if rows is None else _scores(rows)
                answer = Answer(stage=stage_id, status=state.status, scores=scores, lines=lines.get(task))
                answers.setdefault((name, task), {})[point_id] = answer
                tables.setdefault((name, task), []).extend([] if rows is None else _keyed(rows))
    return tuple(Asked(stage=key[0], task=key[1], metrics=_metrics(tables[key]), answers=answers[key]) for key in answers)


def _lines(state: StageState) -> dict[str, Lines]:
    """The tasks of an evaluation have their answers one after the other in one file."""
    found, start = {}, 0
    for task, result in ((state.results or {}).get("tasks") or {}).items():
        stop = start + int((result.get("samples") or {}).get("rows", 0))
        if stop > start:
            found[task] = Lines(file=state.entry.output("results") / "samples.jsonl", start=start, stop=stop)
        start = stop
    return found


def _keyed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    out = []
    for row in rows:
        number = seen.get(row["name"], 0)
        seen[row["name"]] = number + 1
        out.append({**row, "key": (row["name"], number)})
    return out


def _scores(rows: list[dict[str, Any]]) -> dict[Key, Score]:
    return {row["key"]: Score(value=row["value"], error=row["error"]) for row in _keyed(rows) if row["value"] is not None}


def _metrics(rows: list[dict[str, Any]]) -> tuple[Metric, ...]:
    """One metric for each key; those of one name are told apart by what their meanings do not share."""
    first: dict[Key, Metric] = {}
    for row in rows:
        if row["key"] not in first:
            first[row["key"]] = Metric(key=row["key"], label=row["name"], unit=row["unit"], meaning=row["meaning"])
    out = []
    for metric in first.values():
        others = [other.meaning.split() for other in first.values() if other.label == metric.label]
        own = metric.meaning.split()
        shared = next((index for index in range(len(own)) if any(words[index : index + 1] != [own[index]] for words in others)), len(own))
        more = " ".join(own[shared:]) if len(others) > 1 else ""
        out.append(replace(metric, label=f"{metric.label} {more}".strip()))
    return tuple(out)
