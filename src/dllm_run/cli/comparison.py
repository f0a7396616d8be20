"""The numbers of a comparison: means, standard errors and paired differences, of scores that are given."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.plan import Point
from dllm_run.specs.vocabulary.spec import Compare

from .questions import error_by_question
from .rows import Row, rows_of
from .scores import Answer, Asked, Metric, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean of `n` values, and its standard error: of the values, or of the one value by its task."""

    n: int
    value: float
    error: float | None
    by_task: bool = False
    by_question: bool = False
    """Whether the error is that of one difference, by what its two sides say to each question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One metric in one row."""

    mean: Mean | None
    """None: nothing is done, or its results lack the metric."""
    difference: Mean | None
    """From the baseline row, over pairs; None: no pair, or this is the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row with its numbers, one cell a metric."""

    number: int
    row: Row
    planned: int
    """Evaluations that the row is made of; those that points share count once."""
    done: int
    pairs: int
    """Pairs with the baseline of which both are done."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One task of one eval stage."""

    asked: Asked
    lines: tuple[Line, ...]


def compared(points: Mapping[str, Point], compare: Compare, asked: Iterable[Asked]) -> tuple[Compared, ...]:
    """Every task with all rows, whatever is done of them."""
    rows = rows_of(points, compare)
    return tuple(Compared(asked=item, lines=tuple(_line(number, rows, item) for number in range(len(rows)))) for item in asked)


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean: the sample standard deviation over the root of how many there are; None for fewer than two."""
    count = len(values)
    if count < 2:
        return None
    mean = math.fsum(values) / count
    return math.sqrt(math.fsum((value - mean) * (value - mean) for value in values) / (count - 1) / count)


def _line(number: int, rows: Sequence[Row], asked: Asked) -> Line:
    row = rows[number]
    own = [asked.answers[point] for point in row.points.values() if point in asked.answers]
    against = rows[row.against] if row.against not in (None, number) and row.against is not None else None
    pairs = _pairs(row, against, asked.answers) if against is not None else []
    return Line(
        number=number,
        row=row,
        planned=len({answer.stage for answer in own}),
        done=len({answer.stage for answer in own if answer.scores is not None}),
        pairs=len(pairs),
        cells=tuple(Cell(mean=_mean(own, metric), difference=_difference(pairs, metric)) for metric in asked.metrics),
    )


def _pairs(row: Row, against: Row, answers: Mapping[str, Answer]) -> list[tuple[Answer, Answer]]:
    """What is done on both sides at one value of the averaged axis; two answers that several points share are one pair."""
    found = {}
    for value, point in row.points.items():
        left, right = answers.get(point), answers.get(against.points.get(value, ""))
        if left is not None and right is not None and left.scores is not None and right.scores is not None:
            found[left.stage, right.stage] = (left, right)
    return list(found.values())


def _score(answer: Answer, metric: Metric) -> Score | None:
    return answer.scores.get(metric.key) if answer.scores is not None else None


def _mean(answers: Iterable[Answer], metric: Metric) -> Mean | None:
    found = {answer.stage: score for answer in answers if (score := _score(answer, metric)) is not None}
    scores = list(found.values())
    if len(scores) == 1:
        return Mean(n=1, value=scores[0].value, error=scores[0].error, by_task=scores[0].error is not None)
    return _mean_of([score.value for score in scores])


def _difference(pairs: Iterable[tuple[Answer, Answer]], metric: Metric) -> Mean | None:
    scored = [(left, right, _score(left, metric), _score(right, metric)) for left, right in pairs]
    found = [(left, right, one.value, other.value) for left, right, one, other in scored if one is not None and other is not None]
    if len(found) != 1:
        return _mean_of([one - other for _, _, one, other in found])
    ((left, right, one, other),) = found
    error = error_by_question(left.lines, right.lines, metric.key, (one, other)) if left.lines and right.lines else None
    return Mean(n=1, value=one - other, error=error, by_question=error is not None)


def _mean_of(values: Sequence[float]) -> Mean | None:
    return Mean(n=len(values), value=math.fsum(values) / len(values), error=standard_error(values)) if values else None


def as_json(compare: Compare, tables: Iterable[Compared]) -> dict[str, Any]:
    """The JSON form."""
    return {"baseline": compare.baseline, "over": compare.over, "tables": [_table(table) for table in tables]}


def _table(table: Compared) -> dict[str, Any]:
    asked, lines = table.asked, table.lines
    metrics = [{"name": metric.label, "unit": metric.unit, "meaning": metric.meaning} for metric in asked.metrics]
    rows = [
        {
            "name": line.row.name,
            "case": line.row.case,
            "values": line.row.values,
            "points": list(line.row.points.values()),
            "baseline": None if line.row.against is None else lines[line.row.against].row.name,
            "planned": line.planned,
            "done": line.done,
            "metrics": [_cell(metric, cell) for metric, cell in zip(asked.metrics, line.cells, strict=True)],
        }
        for line in lines
    ]
    return {"stage": asked.stage, "task": asked.task, "metrics": metrics, "rows": rows}


def _cell(metric: Metric, cell: Cell) -> dict[str, Any]:
    mean, difference = cell.mean, cell.difference
    return {
        "name": metric.label,
        "mean": None if mean is None else {"n": mean.n, "value": mean.value, "error": mean.error, "by_task": mean.by_task},
        "difference": None
        if difference is None
        else {"pairs": difference.n, "value": difference.value, "error": difference.error, "by_question": difference.by_question},
    }
