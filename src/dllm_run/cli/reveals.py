"""Canvases that are being filled: one on show, the others waiting, and the pace at which steps are shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STEP_SECONDS = 0.06
STAGE_SECONDS = 6.0
DOUBTS = 10


class Pace:
    """Keeps each step on show for a moment, until the budget of the stage is spent."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._left = STAGE_SECONDS

    def wait(self) -> bool:
        """Wait until the step before has been on show long enough; False if steps are no longer paced."""
        pause = min(self._next - self._clock(), self._left)
        if pause > 0:
            self._sleep(pause)
            self._left -= pause
        self._next = self._clock() + STEP_SECONDS
        return self._left > 0


def doubt(probability: float) -> int:
    """1 for what is certain, DOUBTS for what is next to impossible."""
    return min(1 + int((1 - probability) * DOUBTS), DOUBTS)


@dataclass(slots=True)
class Canvas:
    """The cells of one request and what happened to them; `order` as in `canvas.py`, `fresh` is what the last step filled."""

    title: str
    cells: list[str]
    given: list[bool]
    columns: int | None
    mask: str
    note: str | None = None
    order: list[int | None] = field(init=False)
    doubt: list[int | None] = field(init=False)
    """From 1, certain, to DOUBTS, for each position that was filled with a probability."""
    again: set[int] = field(default_factory=set)
    """Positions that were filled and are open again."""
    fresh: frozenset[int] = frozenset()
    steps: int = 0
    signs: list[str] = field(init=False)
    """Under each cell the sign of the edit that wrote it, see `edits.py`; empty where none did."""
    edits: dict[str, int] = field(default_factory=dict)
    """How many edits of each kind there were."""
    gone: dict[int, str] = field(default_factory=dict)
    """What the last step deleted, by the position before which it stood."""

    def __post_init__(self) -> None:
        # A cell that is neither given nor masked was there from the start too.
        self.given = [fixed or cell != self.mask for fixed, cell in zip(self.given, self.cells, strict=True)]
        self.order = [None] * len(self.cells)
        self.signs = [""] * len(self.cells)
        self.doubt = [None] * len(self.cells)

    def reveal(self, positions: list[int], cells: list[str], confidence: list[float] | None = None) -> None:
        """Fill positions, with the probabilities of what fills them; a mask opens one again."""
        self.steps += 1
        for place, (position, cell) in enumerate(zip(positions, cells, strict=True)):
            opened = cell == self.mask
            if opened and self.order[position] is not None:
                self.again.add(position)
            elif not opened:
                self.again.discard(position)
            self.cells[position] = cell
            self.order[position] = None if opened else self.steps
            self.doubt[position] = None if opened or confidence is None else doubt(confidence[place])
        self.fresh = frozenset(positions)

    def doubts(self) -> list[int | None]:
        """The doubt of each position that is filled; what came without a probability counts as certain."""
        return [None if step is None else found or 1 for step, found in zip(self.order, self.doubt, strict=True)]


class Reveals:
    """Plays the events of many canvases as if they came one canvas after the other, in the order in which they began."""

    def __init__(
        self,
        shown: Callable[[], None],
        finished: Callable[[Canvas], None],
        pace: Pace | None,
        edit: Callable[[Canvas, Sequence[Mapping[str, Any]]], Canvas],
    ) -> None:
        self._edit = edit
        self._shown = shown
        self._finished = finished
        self._pace = pace
        self._waiting: dict[int, list[dict[str, Any]]] = {}
        self.current: Canvas | None = None

    def handle(self, event: dict[str, Any]) -> None:
        """Take a canvas, reveal, edits or canvas_done event; plays it and what waited for it, or keeps it for later."""
        request = event["request"]
        if event["event"] == "canvas":
            self._waiting.setdefault(request, [])
        if request not in self._waiting:
            return
        self._waiting[request].append(event)
        self._play()

    def flush(self) -> None:
        """The stage is over: finish what has no end yet."""
        for events in self._waiting.values():
            events.append({"event": "canvas_done", "note": None})
        self._play()

    def drop(self) -> None:
        """The stage broke off: what is on show ends as it is; of what waits only the complete is shown, without pacing."""
        self._pace = None
        self._waiting = {request: events for request, events in self._waiting.items() if events and events[-1]["event"] == "canvas_done"}
        if self.current is not None and self.current.steps:
            self._end("unfinished")
        self.current = None
        self._play()

    def _play(self) -> None:
        while self._waiting:
            request = next(iter(self._waiting))
            events = self._waiting[request]
            while events:
                event = events.pop(0)
                if event["event"] == "canvas_done":
                    del self._waiting[request]
                    self._end(event["note"])
                    break
                self._step(event)
            else:
                return

    def _step(self, event: dict[str, Any]) -> None:
        draw = self._pace is not None and self._pace.wait()
        if event["event"] == "canvas":
            self.current = Canvas(event["title"], list(event["cells"]), list(event["given"]), event["columns"], event["mask"])
        elif self.current is not None and event["event"] == "edits":
            self.current = self._edit(self.current, event["edits"])
        elif self.current is not None:
            self.current.reveal(event["positions"], event["cells"], event.get("confidence"))
        if draw:
            self._shown()

    def _end(self, note: str | None) -> None:
        canvas, self.current = self.current, None
        if canvas is not None:
            canvas.note = note
            self._finished(canvas)
