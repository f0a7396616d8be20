"""Edits of a canvas: what a step inserts, substitutes and deletes, and how that is told."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from .reveals import Canvas

SIGNS = {"insert": "+", "substitute": "~"}
"""What stands under a character that an edit wrote, where there are no colours."""
_DONE = {"insert": "inserted", "substitute": "substituted", "delete": "deleted"}


def edit(canvas: Canvas, edits: Sequence[Mapping[str, Any]]) -> Canvas:
    """The canvas after the edits of one step. Positions are those before it; -1 is before the first cell.

    It is another one, since the screen is drawn at any moment, and a canvas half edited has cells without a step.
    """
    canvas = copy.copy(canvas)
    canvas.steps += 1
    canvas.edits = dict(canvas.edits)
    at: dict[int, dict[str, str]] = {}
    for one in edits:
        at.setdefault(one["position"], {})[one["op"]] = one["cell"]
        canvas.edits[one["op"]] = canvas.edits.get(one["op"], 0) + 1
    before = list(zip(canvas.cells, canvas.given, canvas.order, canvas.doubt, canvas.signs, strict=True))
    after: list[tuple[str, bool, int | None, int | None, str]] = []
    fresh: set[int] = set()
    gone: dict[int, str] = {}
    for position in range(-1, len(before)):
        here = at.get(position, {})
        if "delete" in here:
            gone[len(after)] = gone.get(len(after), "") + before[position][0]
        elif position >= 0 and "substitute" not in here:
            after.append(before[position])
        for op, sign in (("substitute", SIGNS["substitute"]), ("insert", SIGNS["insert"])):
            if op in here:
                fresh.add(len(after))
                after.append((here[op], False, canvas.steps, None, sign))
    canvas.cells, canvas.given = [cell for cell, *_ in after], [item[1] for item in after]
    canvas.order, canvas.doubt, canvas.signs = [item[2] for item in after], [item[3] for item in after], [item[4] for item in after]
    canvas.fresh, canvas.gone = frozenset(fresh), gone
    return canvas


def with_gone(canvas: Canvas) -> tuple[Canvas, frozenset[int]]:
    """A copy that still has what the last step deleted, and where that stands."""
    shown = Canvas(canvas.title, [], [], canvas.columns, canvas.mask, canvas.note)
    fresh, struck = set(), set()
    for position in range(len(canvas.cells) + 1):
        if position in canvas.gone:
            struck.add(len(shown.cells))
            shown.cells.append(canvas.gone[position])
            shown.given.append(True)
            shown.order.append(None)
            shown.doubt.append(None)
            shown.signs.append("")
        if position < len(canvas.cells):
            if position in canvas.fresh:
                fresh.add(len(shown.cells))
            shown.cells.append(canvas.cells[position])
            shown.given.append(canvas.given[position])
            shown.order.append(canvas.order[position])
            shown.doubt.append(canvas.doubt[position])
            if position in canvas.again:
                shown.again.add(len(shown.cells) - 1)
            shown.signs.append(canvas.signs[position])
    shown.fresh = frozenset(fresh)
    return shown, frozenset(struck)


def edits_legend(canvas: Canvas) -> str:
    """One line that counts the edits and explains their signs; empty where there were none."""
    told = [f"{count} {_DONE[op]}{f' {SIGNS[op]}' if op in SIGNS else ''}" for op, count in sorted(canvas.edits.items())]
    return f"(edits: {', '.join(told)})" if told else ""
