"""Comparison and overview of the points of a sweep as tables: a row a group of points, a column a metric."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from dllm_run.specs.codec import decode
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import read_json
from dllm_run.specs.vocabulary.spec import Compare

from .canvas import visible
from .comparison import Compared, Line, Mean, compared
from .order import in_spec_order
from .results import value_text
from .scores import Asked, Metric, Score, asked_of
from .state import StageState

_MANY = 30
"""Rows that are shown before they are counted."""


class Shown(NamedTuple):
    """A table with its title, and what stands below it."""

    title: str
    table: Table
    notes: tuple[str, ...]


FEW = 3
"""Points up to which each result has a table of its own."""


def compare_of(folder: Path) -> Compare | None:
    """What the spec of a run says of comparing, from its resolved.json; None where that is gone or says nothing."""
    found = (read_json(folder / "resolved.json") or {}).get("compare")
    return None if found is None else decode(Compare, found)


def comparison_of(plan: Plan, states: Iterable[StageState], compare: Compare) -> tuple[Compared, ...]:
    """Every task with all rows, whatever is done of them."""
    ordered = in_spec_order(plan)
    return compared(ordered.points, compare, asked_of(ordered, states))


def comparison_tables(found: Iterable[Compared], compare: Compare) -> Iterator[Shown]:
    """A table for each task."""
    over = f", mean ± standard error over {compare.over}" if compare.over is not None else ""
    for item in found:
        metrics = item.asked.telling
        table = _table("", "n", *(name for metric in metrics for name in (_named(metric), "difference")))
        for line in item.lines[:_MANY]:
            _add(table, *_cells(line, item.asked))
        if len(item.lines) > _MANY:
            _add(table, f"… {len(item.lines) - _MANY} more")
        notes = list(_alike(item.asked))
        if any(cell.mean is not None and cell.mean.by_task for line in item.lines for cell in line.cells):
            notes.append("* the standard error that the task itself gives")
        if any(cell.difference is not None and cell.difference.by_question for line in item.lines for cell in line.cells):
            notes.append("† the standard error of the difference over the questions, which both sides were asked")
        yield Shown(f"{item.asked.stage}: {item.asked.task}, against {compare.baseline}{over}", table, tuple(notes))


def overview_tables(plan: Plan, states: Iterable[StageState]) -> Iterator[Shown]:
    """A table for each task: a row a point that has it."""
    ordered = in_spec_order(plan)
    for asked in asked_of(ordered, states):
        table = _table("point", *(map(_named, asked.telling) if asked.telling else ["status"]))
        shown = list(asked.answers.items())
        for point_id, answer in shown[:_MANY]:
            scores = answer.scores
            cells = [answer.status] if scores is None else [_value(scores.get(metric.key)) for metric in asked.telling]
            _add(table, ordered.points[point_id].name, *cells)
        if len(shown) > _MANY:
            _add(table, f"… {len(shown) - _MANY} more")
        yield Shown(f"{asked.stage}: {asked.task}", table, tuple(_alike(asked)))


def _alike(asked: Asked) -> Iterator[str]:
    """The metrics that have no column, because they are the same everywhere."""
    if asked.constants:
        yield "the same everywhere: " + ", ".join(
            f"{metric.label} {value_text(value)} {metric.unit}".strip() for metric, value in asked.constants
        )


def _named(metric: Metric) -> str:
    return f"{metric.label}\n{metric.unit}" if metric.unit else metric.label


def _add(table: Table, *cells: str) -> None:
    # Names of cases and values are the user's: text, never markup.
    table.add_row(*(Text(visible(cell)) for cell in cells))


def _table(first: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column(Text(first), overflow="fold")
    for column in columns:
        table.add_column(Text(column), justify="right")
    return table


def _cells(line: Line, asked: Asked) -> list[str]:
    number = str(line.done) if line.done == line.planned else f"{line.done} of {line.planned} done"
    found = [line.row.name, number]
    against = line.row.against
    own = "no baseline" if against is None else "baseline" if against == line.number else ""
    for metric, cell in zip(asked.metrics, line.cells, strict=True):
        if metric in asked.telling:
            found += [_mean(cell.mean), own or _mean(cell.difference, sign=True, pairs=line.planned)]
    return found


def _mean(mean: Mean | None, *, sign: bool = False, pairs: int | None = None) -> str:
    if mean is None:
        return "-"
    value = f"{mean.value:+,.3f}" if sign else value_text(mean.value)
    mark = "*" if mean.by_task else "†" if mean.by_question else ""
    error = "" if mean.error is None else f" ± {value_text(mean.error)}{mark}"
    few = f" ({mean.n} {'pair' if mean.n == 1 else 'pairs'})" if pairs is not None and mean.n != pairs else ""
    return value + error + few


def _value(score: Score | None) -> str:
    return "-" if score is None else value_text(score.value)
