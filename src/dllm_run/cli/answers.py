"""The display of a conversation: an answer that fills in while it is written, and stays as text; in a pipe the text alone."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console, ConsoleRenderable
from rich.live import Live
from rich.text import Text

from .canvas import canvas_text, visible_lines
from .display import CANVAS_WIDTH, REFRESHES_PER_SECOND
from .progress import clock_text
from .reveals import Canvas

_ROOM = 4
"""Lines of the terminal that an answer in writing leaves free."""


class Answers:
    """Shows events of one answer after another on a console; a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.on_terminal = console.is_terminal
        colour = console.is_terminal and not (console.no_color or console.color_system is None or console.is_dumb_terminal)
        self._canvas: Canvas | None = None
        self._waiting: tuple[str, float] | None = None
        # Transient: the answer itself is printed when it is there.
        self._live = Live(get_renderable=self._frame, console=console, refresh_per_second=REFRESHES_PER_SECOND, transient=True)
        self._moving = colour
        self._errors = Console(highlight=False, stderr=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def loading(self, what: str) -> None:
        """The model is on its way."""
        self._waiting = (what, time.monotonic())
        if self._moving:
            self._live.start()

    def loaded(self) -> None:
        """It is there."""
        what = self._waiting[0] if self._waiting is not None else ""
        self._waiting = None
        self._stop()
        if self.on_terminal:
            self.say(f"{what}: /help tells what there is, Ctrl-D ends")

    def handle(self, event: dict[str, Any]) -> None:
        """Show one event; kinds that are not known are ignored."""
        kind = event["event"]
        if kind == "canvas":
            self._canvas = Canvas(event["title"], list(event["cells"]), list(event["given"]), event["columns"], event["mask"])
            if self._moving:
                self._live.start()
        elif kind == "reveal" and self._canvas is not None:
            self._canvas.reveal(event["positions"], event["cells"], event.get("confidence"))
        elif kind in ("finished", "refused", "cancelled"):
            self._canvas = None
            self._stop()
        if kind == "cancelled":
            self.say("(cancelled)")
        elif kind == "refused":
            self.say(event["message"])
        elif kind == "note":
            self.say(event["text"])

    def answer(self, text: str) -> None:
        """Print an answer for good."""
        if self.on_terminal:
            self._console.print(visible_lines(text), markup=False, soft_wrap=True)
        else:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """Something that is no answer."""
        console = self._console if self.on_terminal else self._errors
        console.print(Text(visible_lines(text), "dim" if self._moving else ""), soft_wrap=True)

    def _stop(self) -> None:
        if self._live.is_started:
            self._live.stop()

    def _frame(self) -> ConsoleRenderable:
        """What the live area holds now; called from Live's thread too, so it only reads."""
        canvas = self._canvas
        if canvas is None:
            what, since = self._waiting or ("", time.monotonic())
            return Text.assemble((what, "bold"), (f"  loading  {clock_text(time.monotonic() - since)}", "dim"))
        width = max(min(CANVAS_WIDTH, self._console.width), 1)
        cells = canvas_text(canvas.cells, canvas.given, canvas.order, None, width, canvas.fresh, again=frozenset(canvas.again))
        lines = cells.split("\n", allow_blank=True)
        return Text("\n").join(lines[: max(self._console.height - _ROOM, 1)])
