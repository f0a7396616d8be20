"""The table of a stage's results."""

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from dllm_run.cli.canvas import visible


def result_table(rows: list[dict[str, Any]], colour: bool) -> Table:
    """Name, value, unit and meaning, one row each; without `colour` no style at all, since NO_COLOR alone would leave bold and dim."""
    bold, dim = ("bold", "dim") if colour else ("", "")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style=bold, border_style=dim)
    table.add_column("name", no_wrap=True)
    table.add_column("value", no_wrap=True, justify="right", style=bold)
    table.add_column("unit", style=dim)
    table.add_column("meaning")
    for row in rows:
        table.add_row(*(Text(visible(text)) for text in (row["name"], value_text(row["value"]), row["unit"], row["meaning"])))
    return table


def value_text(value: object) -> str:
    """Three decimals, more only where they would show nothing but zeros; counts stay whole, nothing is a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 0.0005 else f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
