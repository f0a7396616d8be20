"""Comparison and overview of the points of a sweep as tables: a row a group of points, a column a metric."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich import box
from rich.table import Table

from dllm_run.specs.codec import decode
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.spec import Compare

from .comparison import Compared, Line, Mean, compared
from .order import in_spec_order
from .results import value_text
from .scores import Asked, Score, asked_of
from .state import StageState

_MANY = 30
"""Rows that are shown before they are counted."""
FEW = 3
"""Points up to which each result has a table of its own."""


def compare_of(folder: Path) -> Compare | None:
    """What the spec of a run says of comparing, from its resolved.json."""
    found = json.loads((folder / "resolved.json").read_text(encoding="utf-8")).get("compare")
    return None if found is None else decode(Compare, found)


def comparison_of(plan: Plan, states: Iterable[StageState], compare: Compare) -> tuple[Compared, ...]:
    """Every task with all rows, whatever is done of them."""
    ordered = in_spec_order(plan)
    return compared(ordered.points, compare, asked_of(ordered, states))


def comparison_tables(found: Iterable[Compared], compare: Compare) -> Iterator[tuple[str, Table]]:
    """A title and a table for each task."""
    over = f", mean ± standard error over {compare.over}" if compare.over is not None else ""
    for item in found:
        metrics = item.asked.telling
        table = _table("", "n", *(name for metric in metrics for name in (metric.label, "difference")))
        for line in item.lines[:_MANY]:
            table.add_row(*_cells(line, item.asked))
        if len(item.lines) > _MANY:
            table.add_row(f"… {len(item.lines) - _MANY} more")
        yield f"{item.asked.stage}: {item.asked.task}, against {compare.baseline}{over}", table


def overview_tables(plan: Plan, states: Iterable[StageState]) -> Iterator[tuple[str, Table]]:
    """A title and a table for each task: a row a point."""
    ordered = in_spec_order(plan)
    for asked in asked_of(ordered, states):
        table = _table("point", *(metric.label for metric in asked.telling))
        shown = list(asked.answers.items())
        for point_id, answer in shown[:_MANY]:
            scores = answer.scores
            cells = [answer.status] if scores is None else [_value(scores.get(metric.key)) for metric in asked.telling]
            table.add_row(ordered.points[point_id].name, *cells)
        if len(shown) > _MANY:
            table.add_row(f"… {len(shown) - _MANY} more")
        yield f"{asked.stage}: {asked.task}", table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _cells(line: Line, asked: Asked) -> list[str]:
    number = str(line.done) if line.done == line.planned else f"{line.done} of {line.planned} done"
    found = [line.row.name, number]
    for metric, cell in zip(asked.metrics, line.cells, strict=True):
        if metric in asked.telling:
            found += [_mean(cell.mean), _mean(cell.difference, sign=True, pairs=line.planned)]
    return found


def _mean(mean: Mean | None, *, sign: bool = False, pairs: int | None = None) -> str:
    if mean is None:
        return "-"
    value = f"{mean.value:+,.3f}" if sign else value_text(mean.value)
    error = "" if mean.error is None else f" ± {value_text(mean.error)}" + ("*" if mean.by_task else "")
    few = f" ({mean.n} pairs)" if pairs is not None and mean.n != pairs else ""
    return value + error + few


def _value(score: Score | None) -> str:
    return "-" if score is None else value_text(score.value)
