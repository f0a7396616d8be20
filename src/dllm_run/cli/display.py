"""The terminal display of a run: events of its stages as lines, tables and canvases that fill in."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.text import Text

from dllm_run.cli.canvas import DOUBT_LEGEND, canvas_plain, canvas_text, legend, order_legend, visible, visible_lines
from dllm_run.cli.curve import curve_text, rate_text
from dllm_run.cli.edits import edit, edits_legend, with_gone
from dllm_run.cli.progress import Meter, clock_text
from dllm_run.cli.results import result_table
from dllm_run.cli.reveals import DOUBTS, Canvas, Pace, Reveals

INDENT = 2
CANVAS_WIDTH = 78
REFRESHES_PER_SECOND = 10
OTHER_LINES = 5
"""Lines of the live area that are not cells: title, blanks, progress, and the line of the cursor."""


class Shade(NamedTuple):
    """What the colours of a canvas say, or the digits under it."""

    values: Callable[[Canvas], list[int | None]]
    last: int | None
    """The value that has the last colour; None: the largest there is."""
    ends: tuple[str, str]
    head: str
    explained: Callable[[list[int | None]], str]


SHADES = {
    "order": Shade(lambda canvas: canvas.order, None, ("filled early", "late"), "order", order_legend),
    "confidence": Shade(lambda canvas: canvas.doubts(), DOUBTS, ("certain", "doubtful"), "doubt", lambda values: DOUBT_LEGEND),
}


class Display:
    """Shows events on a console: with a live area on a terminal if `animate`, as plain lines in a pipe or under NO_COLOR.

    Canvases are coloured by `color`, the `order` in which they were filled or the `confidence` with which.
    """

    def __init__(
        self,
        console: Console,
        *,
        animate: bool,
        color: str = "order",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._console = console
        self._shade = SHADES[color]
        self._clock = clock
        self._sleep = sleep
        self._colour = console.is_terminal and not (console.no_color or console.color_system is None or console.is_dumb_terminal)
        self._moving = self._colour and animate
        self._meter: Meter | None = None
        self._stage = ""
        self._started = clock()
        self._reveals = self._new_reveals()
        # Transient: whatever stays is printed above it. Its thread draws between events, so the screen is never far behind.
        self._live = Live(get_renderable=self._frame, console=console, refresh_per_second=REFRESHES_PER_SECOND, transient=True)
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "stage": self._on_stage,
            "note": lambda event: self._say(Text(visible_lines(event["text"]))),
            "progress": self._on_progress,
            "evaluate": self._on_evaluate,
            "canvas": lambda event: self._reveals.handle(event),
            "reveal": lambda event: self._reveals.handle(event),
            "edits": lambda event: self._reveals.handle(event),
            "canvas_done": lambda event: self._reveals.handle(event),
            "result": self._on_result,
            "curve": self._on_curve,
            "done": self._on_done,
            "failed": self._on_failed,
            "interrupted": self._on_interrupted,
        }

    def __enter__(self) -> Self:
        if self._moving:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._moving:
            self._live.stop()

    def handle(self, event: dict[str, Any]) -> None:
        """Show one event; kinds that are not known are ignored, so that an older command can follow a newer run."""
        handler = self._handlers.get(event.get("event", ""))
        if handler is not None:
            handler(event)

    def finish(self) -> None:
        """No further event comes: what is on show ends."""
        self._reveals.flush()

    def _new_reveals(self) -> Reveals:
        pace = Pace(self._clock, self._sleep) if self._moving else None
        return Reveals(lambda: self._live.refresh(), self._print_canvas, pace, edit)

    def _on_stage(self, event: dict[str, Any]) -> None:
        self._reveals.flush()
        self._reveals = self._new_reveals()
        self._stage, self._started = event["stage"], self._clock()
        self._meter = Meter(self._stage)
        again = f"  attempt {event['attempt']}" if event["attempt"] > 1 else ""
        self._say(Text.assemble((self._stage, "bold"), f"  {event['kind']}", again, (f"  {event['id'][:12]}", "dim")))

    def _on_progress(self, event: dict[str, Any]) -> None:
        if self._meter is None:
            self._meter = Meter(self._stage)
        self._meter.update(event)
        if not self._moving and self._meter.due():
            self._say(Text(self._meter.plain()))

    def _on_evaluate(self, event: dict[str, Any]) -> None:
        bound = (f"{event['bound']:.3f}", "bold")
        # Events of earlier versions name no measure: there was one.
        name = f"  step {event['step']}  held-out {event.get('measure', 'bound')} "
        self._say(Text.assemble((self._stage, "bold"), name, bound, f" {event['unit']}"))

    def _on_result(self, event: dict[str, Any]) -> None:
        self._say(Text(visible(event["title"]), "bold"))
        self._say(result_table(event["rows"], self._colour))
        self._say(Text())

    def _on_curve(self, event: dict[str, Any]) -> None:
        self._say(curve_text(event["train"], event["held_out"], event["unit"], event.get("measure", "bound")))
        # Events of earlier versions have none.
        rate = rate_text(event.get("learning_rate", ()))
        if rate is not None:
            self._say(rate)
        if event.get("png"):
            self._say(Text.assemble("loss curve: ", (visible(event["png"]), "underline")))

    def _on_done(self, event: dict[str, Any]) -> None:
        self._reveals.flush()
        self._meter = None
        self._say(Text.assemble((self._stage, "bold"), "  ", ("done", "green"), f" in {clock_text(event['seconds'])}"))

    def _on_failed(self, event: dict[str, Any]) -> None:
        self._reveals.drop()
        self._meter = None
        self._say(Text(f"failed: {visible_lines(event['message'])}", "red"))

    def _on_interrupted(self, event: dict[str, Any]) -> None:
        self._reveals.drop()
        self._meter = None
        self._say(Text(f"interrupted at step {event['step']}", "yellow"))

    def _print_canvas(self, canvas: Canvas) -> None:
        width = self._canvas_width()
        if self._moving:
            # The live area no longer holds this canvas: draw that first, else it stands on the screen twice for a moment.
            self._live.refresh()
        self._say(self._head(canvas))
        if self._colour:
            cells = self._cells(canvas, width)
            edits = [Text.assemble((edits_legend(canvas), "dim"))] if canvas.edits else []
            self._say(_indented([*cells.split("\n", allow_blank=True), legend(*self._shade.ends), *edits, Text()]))
            return
        values = self._shade.values(canvas)
        lines = canvas_plain(canvas.cells, canvas.given, values, canvas.columns, width, self._shade.head, canvas.signs).split("\n")
        explained = [self._shade.explained(values)] if canvas.columns is None else []
        explained += [edits_legend(canvas)] if canvas.edits else []
        self._say(_indented([Text(line) for line in (*lines, *explained, "")]))

    def _head(self, canvas: Canvas) -> Text:
        if canvas.note is None:
            return Text(visible(canvas.title), "bold")
        colour = "green" if canvas.note == "valid" else "yellow"
        return Text.assemble((visible(canvas.title), "bold"), ": ", (visible(canvas.note), colour))

    def _frame(self) -> ConsoleRenderable:
        """What the live area holds now; called from Live's thread too, so it only reads."""
        parts: list[ConsoleRenderable] = []
        canvas, meter = self._reveals.current, self._meter
        if canvas is not None:
            seen, struck = with_gone(canvas)
            cells = self._cells(seen, self._canvas_width(), seen.fresh, struck)
            lines = cells.split("\n", allow_blank=True)
            parts += [self._head(canvas), _indented([*lines[: max(self._console.height - OTHER_LINES, 1)], Text()])]
        if meter is not None and meter.unit:
            parts.append(meter.line(self._console.width))
        elif meter is not None:
            parts.append(Text.assemble((meter.stage, "bold"), (f"  starting  {clock_text(self._clock() - self._started)}", "dim")))
        return Group(*parts)

    def _cells(self, canvas: Canvas, width: int, fresh: frozenset[int] = frozenset(), struck: frozenset[int] = frozenset()) -> Text:
        return canvas_text(
            canvas.cells,
            canvas.given,
            self._shade.values(canvas),
            canvas.columns,
            width,
            fresh,
            again=frozenset(canvas.again),
            last=self._shade.last,
            struck=struck,
            signs=canvas.signs,
        )

    def _canvas_width(self) -> int:
        return max(min(CANVAS_WIDTH, self._console.width - INDENT), 1)

    def _say(self, what: ConsoleRenderable) -> None:
        """Print for good, above the live area; without colours also without bold and dim, which NO_COLOR alone would leave."""
        if isinstance(what, Text) and not self._colour:
            self._console.print(Text(what.plain), soft_wrap=True)
        else:
            self._console.print(what)


def _indented(lines: list[Text]) -> Text:
    return Text("\n").join(Text(" " * INDENT) + line if line else line for line in lines)
