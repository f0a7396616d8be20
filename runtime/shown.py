"""Telling whoever watches how canvases fill in, and the trace that is kept of it."""

from dataclasses import dataclass, field

from .canvas import Request
from .context import Context
from .decode import Reveal
from .edit_heads import DELETE
from .edit_log import NAMES, Happened
from .tokenizers import Tokens

SHOWN = 4
MASK = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for a masked token: unlike an underscore, hardly ever a token of its own."""


@dataclass(slots=True)
class Show:
    """The first few canvases of a stage."""

    context: Context
    tokens: Tokens
    columns: int | None = None
    """Cells of a line where the canvas is a grid."""
    shown: int = 0
    most: int = SHOWN
    """Canvases that are shown."""
    answers_only: bool = False
    """Whether what stands before an answer is left out."""
    _shown: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Index of a running request to the number of its canvas, and the tokens in front of its text."""

    def begin(self, index: int, request: Request, title: str) -> None:
        """A request starts: it is shown while any are left to show."""
        if self.shown >= self.most:
            return
        hidden = request.prompt if self.answers_only else self._hidden(request.tokens)
        self._shown[index] = (self.shown, hidden)
        shown = self._visible(request.tokens, hidden)
        given = [token != self.tokens.mask for token in shown]
        canvas = {"cells": self._cells(shown), "given": given, "columns": self.columns, "mask": MASK}
        self.context.emit("canvas", {"request": self.shown, "sample": index, "title": title, **canvas})
        self.shown += 1

    def reveal(self, found: Reveal) -> None:
        """What the engine calls after every step."""
        for index, (number, offset) in self._shown.items():
            places = [place for place, other in enumerate(found.rows) if other == index]
            if places:
                self.context.emit(
                    "reveal",
                    {
                        "request": number,
                        "step": found.step[places[0]],
                        "positions": [found.columns[place] - offset for place in places],
                        "cells": self._cells([found.tokens[place] for place in places]),
                        "confidence": [round(found.probability[place], 4) for place in places],
                    },
                )

    def edit(self, found: Happened) -> None:
        """What the loop of edits calls after every step; positions are those before it, -1 where something comes before all others."""
        mine = found.by_request()
        for index, (number, offset) in self._shown.items():
            if index in mine:
                edits = mine[index]
                cells = self._cells(
                    [self.tokens.pad if edit == DELETE else token for edit, token in zip(edits.edit, edits.token, strict=True)]
                )
                told = [
                    {"op": NAMES[edit], "position": position - offset, "cell": "" if edit == DELETE else cell, "chance": round(chance, 4)}
                    for edit, position, cell, chance in zip(edits.edit, edits.position, cells, edits.chance, strict=True)
                ]
                self.context.emit("edits", {"request": number, "step": edits.step[0], "edits": told})

    def end(self, index: int, note: str | None) -> None:
        """A request is full; a note for it."""
        if index in self._shown:
            self.context.emit("canvas_done", {"request": self._shown.pop(index)[0], "note": note})

    def _cells(self, ids: list[int]) -> list[str]:
        return cells_of(ids, self.tokens)

    def _hidden(self, ids: list[int]) -> int:
        """Tokens before the text that are no part of it."""
        begin = self.tokens.begin
        return len(begin) if begin and tuple(ids[: len(begin)]) == begin else 0

    def _visible(self, ids: list[int], hidden: int) -> list[int]:
        """The row without the tokens that open and close every text."""
        end = self.tokens.end
        stop = len(ids) - len(end) if end and tuple(ids[-len(end) :]) == end else len(ids)
        return ids[hidden:stop]


def cells_of(ids: list[int], tokens: Tokens) -> list[str]:
    """The text of each token, and the sign for a mask."""
    return [MASK if token == tokens.mask else piece for token, piece in zip(ids, tokens.silent_pieces(ids), strict=True)]
