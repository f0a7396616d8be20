"""Telling whoever watches how canvases fill in, and the trace that is kept of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .canvas import Request
from .context import Context
from .decode import Decoded, Reveal
from .tokenizers import Tokens

SHOWN = 4
MASK = "_"


@dataclass(slots=True)
class Show:
    """The first few canvases of a stage."""

    context: Context
    tokens: Tokens
    columns: int | None = None
    """Cells of a line where the canvas is a grid."""
    shown: int = 0
    _numbers: dict[int, int] = field(default_factory=dict)
    """Row of the running batch to the number of its canvas."""

    def begin(self, requests: Sequence[Request], titles: Sequence[str]) -> None:
        """A batch starts: its first rows are shown while any are left to show."""
        self._numbers = {}
        for row, (request, title) in enumerate(zip(requests, titles, strict=True)):
            if self.shown == SHOWN:
                return
            self._numbers[row] = self.shown
            shown = self._visible(request.tokens)
            given = [token != self.tokens.mask for token in shown]
            cells = [MASK if not known else piece for known, piece in zip(given, self._pieces(shown), strict=True)]
            self.context.emit(
                "canvas",
                {"request": self.shown, "title": title, "cells": cells, "given": given, "columns": self.columns, "mask": MASK},
            )
            self.shown += 1

    def watch(self, canvas_length: int, requests: Sequence[Request]) -> Any:
        """What the engine calls after every step of the batch."""

        def reveal(found: Reveal) -> None:
            for row, number in self._numbers.items():
                places = [index for index, other in enumerate(found.rows) if other == row]
                if places:
                    offset = canvas_length - len(requests[row].tokens) + self._hidden(requests[row].tokens)
                    self.context.emit(
                        "reveal",
                        {
                            "request": number,
                            "step": found.step,
                            "positions": [found.columns[index] - offset for index in places],
                            "cells": self._pieces([found.tokens[index] for index in places]),
                            "confidence": [round(found.probability[index], 4) for index in places],
                        },
                    )

        return reveal

    def end(self, notes: Sequence[str | None]) -> None:
        """The batch is full; a note for each of its rows."""
        for row, number in self._numbers.items():
            self.context.emit("canvas_done", {"request": number, "note": notes[row]})

    def _hidden(self, ids: list[int]) -> int:
        """Tokens before the text that are no part of it."""
        begin = self.tokens.begin
        return len(begin) if begin and tuple(ids[: len(begin)]) == begin else 0

    def _visible(self, ids: list[int]) -> list[int]:
        """The row without the tokens that open and close every text."""
        end = self.tokens.end
        stop = len(ids) - len(end) if end and tuple(ids[-len(end) :]) == end else len(ids)
        return ids[self._hidden(ids) : stop]

    def _pieces(self, ids: list[int]) -> list[str]:
        return [
            "" if token in self.tokens.begin + self.tokens.end else piece for token, piece in zip(ids, self.tokens.pieces(ids), strict=True)
        ]


def trace(decoded: Decoded, row: int, length: int) -> dict[str, list[Any]]:
    """Per token of a row: the step that committed it (-1: given) and the probability it had."""
    return {
        "step": decoded.step_BL[row, -length:].tolist(),
        "probability": [round(value, 4) for value in decoded.probability_BL[row, -length:].tolist()],
    }
