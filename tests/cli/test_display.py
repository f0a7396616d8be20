"""What a run looks like: pure renderings by their text, the display by what reaches the screen or the pipe."""

import io
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from dllm_run.cli.canvas import canvas_plain, canvas_text, order_digits, ramp
from dllm_run.cli.curve import curve_text, rate_text, round_ticks
from dllm_run.cli.display import Display
from dllm_run.cli.progress import Meter, clock_text, short_count
from dllm_run.cli.results import value_text

Event = dict[str, Any]
STAGE: Event = {"event": "stage", "stage": "train", "kind": "pretrain", "id": "5d0e", "attempt": 1, "time": 0.0}


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pipe_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80, _environ={})


def terminal(no_color: bool = False, name: str = "xterm") -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=80, height=40, color_system="truecolor", no_color=no_color, _environ={"TERM": name}
    )


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def show(console: Console, events: Iterable[Event], clock: Clock | None = None, animate: bool = True) -> str:
    clock = clock or Clock()
    with Display(console, animate=animate, clock=clock, sleep=clock.sleep) as display:
        for event in events:
            display.handle({"time": 0.0, **event})
    return written(console)


def screen(raw: str) -> list[str]:
    """What a terminal shows after these bytes; knows only the codes that rich sends here."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", raw):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token.endswith("A") and len(token) > 1:
            row -= int(token[2:-1])
        elif token == "\x1b[2K":
            lines[row] = ""
        elif len(token) == 1:
            lines[row] = lines[row].ljust(column)[:column] + token + lines[row][column + 1 :]
            column += 1
        else:
            assert token[-1] in "mhl", token
    return [line.rstrip() for line in lines]


def progress(time: float, done: int, total: int = 400, unit: str = "steps") -> Event:
    return {"event": "progress", "unit": unit, "done": done, "total": total, "time": time}


def canvas(request: int = 0, cells: str = "1__4", columns: int | None = 2) -> Event:
    given = [cell != "_" for cell in cells]
    title = f"canvas {request}"
    return {"event": "canvas", "request": request, "title": title, "cells": [*cells], "given": given, "columns": columns, "mask": "_"}


def reveal(position: int, cell: str, request: int = 0) -> Event:
    return {"event": "reveal", "request": request, "step": 0, "positions": [position], "cells": [cell], "confidence": [0.9]}


def finished(request: int = 0, note: str | None = None) -> Event:
    return {"event": "canvas_done", "request": request, "note": note}


def edits(*told: tuple[str, int, str], request: int = 0) -> Event:
    """(kind, position before the step, new text)."""
    listed = [{"op": op, "position": position, "cell": cell, "chance": 0.5} for op, position, cell in told]
    return {"event": "edits", "request": request, "step": 0, "edits": listed}


EDITED = [
    canvas(cells="ab__", columns=None),
    # Behind the a, in the place of the first mask, and the second mask is gone.
    edits(("insert", 0, "X"), ("substitute", 2, "c"), ("delete", 3, "")),
    # Before everything, behind what was just inserted, and that itself is another one now.
    edits(("insert", -1, "Y"), ("substitute", 1, "x"), ("insert", 1, "Z")),
    finished(),
]


# canvases as plain text


def test_edits_change_the_length_of_a_text_and_stand_under_it_without_colours() -> None:
    shown = show(pipe_console(), EDITED)
    assert "  YaxZbc\n  1 11 0\n  + ~+ ~\n" in shown
    assert "(edits: 1 deleted, 3 inserted +, 2 substituted ~)" in shown


def test_edits_are_seen_as_they_happen_and_what_is_deleted_is_crossed_out_once() -> None:
    raw = show(terminal(), EDITED)
    assert "\x1b[2;9m" in raw, "crossed out"
    final = [line for line in screen(raw) if line]
    assert "  YaxZbc" in final and any("3 inserted" in line for line in final)
    assert not any("_" in line or "░" in line for line in final)


def test_a_grid_stands_as_start_finish_and_order_side_by_side() -> None:
    cells = [*"1234341221434321"]
    given = [cell == "1" for cell in cells]
    order = [None if fixed else 12 - rank for fixed, rank in zip(given, [0, 0, 1, 2, 3, 4, 0, 5, 6, 0, 7, 8, 9, 10, 11, 0], strict=True)]
    assert canvas_plain(cells, given, order, 4, 78) == (
        "start        finished    order\n"
        "1 _ _ _      1 2 3 4      . 12 11 10\n"
        "_ _ 1 _  ->  3 4 1 2      9  8  .  7\n"
        "_ 1 _ _      2 1 4 3      6  .  5  4\n"
        "_ _ _ 1      4 3 2 1      3  2  1  ."
    )


def test_a_grid_too_wide_for_three_stands_one_under_the_other() -> None:
    assert canvas_plain(["1", "2"], [True, False], [None, 1], 2, 20) == "start\n1 _\nfinished\n1 2\norder\n. 1"


def test_what_is_still_open_stays_open_in_all_three() -> None:
    assert canvas_plain(["1", "_"], [True, False], [None, None], 2, 78) == "start      finished    order\n1 _    ->  1 _         . _"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param("ab c", "ab c\n 012", id="given characters have a blank below"),
        pytest.param("a\n\nb", "a↵↵\n 01\nb\n2", id="a run of newlines is shown and ends the line"),
        pytest.param("a\tb\x1b", "a·b·\n 012", id="control characters are dots"),
        pytest.param("a木b", "a木b\n 001", id="a wide character has its digit twice"),
        pytest.param("ae\u0301b", "ae\u0301b\n 02", id="a combining mark has no column"),
        pytest.param("a\ud800\u200d", "a··\n 01", id="what cannot be written is a dot"),
    ],
)
def test_the_order_of_text_stands_under_it(cells: str, expected: str) -> None:
    order = [None, *range(1, len(cells))]
    assert canvas_plain([*cells], [True] + [False] * (len(cells) - 1), order, None, 78) == expected


def test_a_piece_of_many_characters_repeats_its_digit() -> None:
    assert canvas_plain(["The", " cat", "_"], [True, False, False], [None, 1, None], None, 78) == "The cat_\n   0000"


def test_text_is_wrapped_after_spaces_and_hard_without_them() -> None:
    text = "one two three aaaaaaaaaaaaaaa"
    assert canvas_plain([*text], [True] * len(text), [None] * len(text), None, 9) == "one two\n\nthree\n\naaaaaaaaa\n\naaaaaa\n"


@pytest.mark.parametrize(
    "text", ["word " * 50, "木" * 100, "a\nb\n\nc" * 30, "👍🏽🇩🇪e\u0301x" * 30], ids=["words", "wide", "newlines", "joined"]
)
def test_no_line_is_wider_than_asked_and_digits_are_as_wide_as_the_text(text: str) -> None:
    lines = canvas_plain([*text], [False] * len(text), list(range(1, len(text) + 1)), None, 21).split("\n")
    assert max(map(cell_len, lines)) <= 21
    for above, below in zip(lines[::2], lines[1::2], strict=True):
        assert cell_len(above) <= cell_len(below) <= cell_len(above) + 1  # a space at the end is stripped, its digit is not


def test_order_digits_are_exact_up_to_36_steps_and_scaled_beyond() -> None:
    assert "".join(order_digits([*range(1, 37), None])) == "0123456789abcdefghijklmnopqrstuvwxyz "
    scaled = order_digits(list(range(1, 1001)))
    assert (scaled[0], scaled[-1], len(set(scaled)), scaled == sorted(scaled)) == ("0", "z", 36, True)


# canvases in colours


def test_the_coloured_canvas_has_the_text_of_the_cells() -> None:
    assert canvas_text(["1", "2", "木", "x"], [True, False, False, False], [None, 2, 1, None], 2, 78).plain == "1  2 \n木 _ "
    assert canvas_text(["a", "b", "\n", "c"], [True, False, False, False], [None, None, 1, 2], None, 78).plain == "a░↵\nc"


def test_given_is_dim_early_and_late_are_the_ends_of_the_ramp_and_fresh_is_reversed() -> None:
    text = canvas_text(["a", "b", "c"], [True, False, False], [None, 1, 2], None, 78, frozenset({2}))
    styles = {text.plain[span.start]: span.style for span in text.spans}
    assert str(styles["a"]) == "dim"
    assert styles["b"] == ramp(0)
    assert str(styles["c"]) == f"bold reverse {ramp(1)}"


# progress


def test_a_resume_counts_only_what_this_attempt_did() -> None:
    meter = Meter("train")
    meter.update(progress(1000.0, 300))
    assert (meter.pace.rate, meter.facts()) == (None, [])
    meter.update(progress(1010.0, 320))
    assert (meter.pace.rate, meter.pace.seconds_left) == (2.0, 40.0)
    assert meter.plain() == "train  320/400 steps  80%  2.0 steps/s  0:40 left"


def test_other_work_in_the_same_stage_begins_a_new_rate() -> None:
    meter = Meter("train")
    for event in (progress(0, 0), progress(10, 400), progress(500, 0, 8, "requests"), progress(504, 1, 8, "requests")):
        meter.update(event)
    assert (meter.pace.rate, meter.pace.seconds_left) == (0.25, 28.0)


def test_the_line_with_the_bar_fits_the_width() -> None:
    meter = Meter("train")
    meter.update(progress(0.0, 0) | {"loss": 3.0})
    meter.update(progress(18.0, 120) | {"loss": 2.31, "tokens_per_second": 15800.0})
    console = pipe_console()
    console.print(meter.line(80))
    assert written(console).rstrip() == f"train  {'━' * 8}{' ' * 22}120/400  loss 2.31  15.8k tok/s  0:42 left"
    assert cell_len(written(console).rstrip("\n")) <= 80


@pytest.mark.parametrize(
    ("seconds", "every", "lines"),
    [
        pytest.param(1.0, 1, 11, id="fast: one every ten percent"),
        pytest.param(1000.0, 1, 101, id="slow: one every ten seconds"),
        pytest.param(1000.0, 50, 3, id="rare events are all shown"),
    ],
)
def test_a_pipe_gets_a_line_every_ten_seconds_or_ten_percent(seconds: float, every: int, lines: int) -> None:
    events = [progress(seconds * done / 100, done, 100) for done in range(0, 101, every)]
    assert len(show(pipe_console(), [STAGE, *events]).splitlines()) == 1 + lines


@pytest.mark.parametrize(("value", "text"), [(0.24, "0.2"), (950.4, "950"), (15_800, "15.8k"), (999_999, "1.0M"), (2_500_000, "2.5M")])
def test_counts_are_short(value: float, text: str) -> None:
    assert short_count(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (725, "12:05"), (11_220, "3:07:00")])
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


# the display in a pipe

RUN: list[Event] = [
    STAGE | {"attempt": 2},
    {"event": "note", "text": "cpu, 2 cores\x1b[2J"},
    progress(0.0, 120) | {"loss": 3.25},
    progress(10.0, 140) | {"loss": 0.5, "tokens_per_second": 15800.0},
    {"event": "evaluate", "step": 140, "bound": 2.71, "unit": "bits per byte"},
    canvas(),
    reveal(2, "2"),
    reveal(1, "3"),
    finished(note="valid"),
    canvas(1, "ab__", None),
    reveal(3, "d", 1),
    reveal(2, "\n", 1),
    finished(1),
    {
        "event": "result",
        "title": "held-out text",
        "rows": [{"name": "bound", "value": 3.12, "unit": "bits per byte", "meaning": "the lower the better"}],
    },
    {"event": "done", "seconds": 63.2},
    {"event": "interrupted", "step": 123},
    {"event": "failed", "message": "no\nmemory"},
]
PLAIN = """\
train  pretrain  attempt 2  5d0e
cpu, 2 cores·[2J
train  120/400 steps  30%  loss 3.25
train  140/400 steps  35%  loss 0.500  15.8k tok/s  2:10 left
train  step 140  held-out bound 2.710 bits per byte
canvas 0: valid
  start      finished    order
  1 _    ->  1 3         . 2
  _ 4        2 4         1 .

canvas 1
  ab↵
    1
  d
  0
  (under each line, when it was filled: 0 first, 1 last)

held-out text
 name    value   unit            meaning
──────────────────────────────────────────────────────
 bound   3.120   bits per byte   the lower the better

train  done in 1:03
interrupted at step 123
failed: no
memory
"""


@pytest.mark.parametrize(
    "console", [pipe_console(), terminal(no_color=True), terminal(name="dumb")], ids=["pipe", "NO_COLOR", "dumb terminal"]
)
def test_without_a_colour_terminal_a_run_is_plain_lines(console: Console) -> None:
    text = re.sub(r" +$", "", show(console, RUN), flags=re.MULTILINE)
    assert text == PLAIN
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_a_curve_in_a_pipe_has_no_colour_codes() -> None:
    event = {"event": "curve", "train": [[1, 9.0], [100, 1.0]], "held_out": [[50, 3.0], [100, 2.0]], "unit": "nats", "png": "loss.png"}
    text = show(pipe_console(), [event])
    assert "\x1b" not in text
    assert max(map(cell_len, text.splitlines())) <= 72
    assert (len(text.splitlines()), text.splitlines()[-1]) == (16, "loss curve: loss.png")
    assert "\x1b[38;5;208m" in show(terminal(), [event])


@pytest.mark.parametrize(
    ("train", "held_out", "lines"),
    [
        pytest.param([], [], 1, id="nothing"),
        pytest.param([[1, float("nan")]], [], 1, id="nothing finite"),
        pytest.param([[1, 2.0]], [], 15, id="one point"),
        pytest.param([], [[1, 2.0], [2, 2.0]], 15, id="a flat line"),
    ],
)
def test_a_curve_of_few_points_is_drawn_too(train: list[list[float]], held_out: list[list[float]], lines: int) -> None:
    assert len(curve_text(train, held_out, "nats").plain.split("\n")) == lines


def test_a_learning_rate_that_changes_is_drawn_under_the_curve() -> None:
    event = {"event": "curve", "train": [[1, 9.0], [3, 1.0]], "held_out": [], "unit": "nats"}
    rising = show(pipe_console(), [event | {"learning_rate": [[1, 0.0], [2, 1e-3], [3, 5e-4]]}])
    assert rising.splitlines()[-1] == "   learning rate ▁█▅ peak 0.001"
    assert "learning rate" not in show(pipe_console(), [event | {"learning_rate": [[1, 1e-3], [2, 1e-3]]}]), "a constant one tells nothing"
    long = rate_text([[step, step / 1000] for step in range(1001)])
    assert long is not None and cell_len(long.plain) <= 72 and "▁" in long.plain and "█" in long.plain


def test_ticks_are_round_numbers() -> None:
    assert round_ticks([1, 400]) == [100, 200, 300, 400]
    assert round_ticks([1.02, 1.38]) == [1.1, 1.2, 1.3]
    assert round_ticks([0.0, 7.0]) == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.12, "3.120"), (15800.0, "15,800.000"), (0.0001, "1.0e-04"), (0.0, "0.000"), (12, "12"), (None, "-"), (float("nan"), "nan")],
)
def test_values_have_three_decimals_and_counts_none(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize("event", [{"event": "weather"}, {}, {"event": "reveal", "request": 7}, finished(9)])
def test_an_unknown_event_or_canvas_is_ignored(event: Event) -> None:
    assert show(pipe_console(), [event]) == ""


def test_canvases_of_one_batch_appear_one_after_the_other_in_the_order_of_their_beginning() -> None:
    events = [canvas(0), canvas(1), reveal(1, "3", 1), reveal(1, "2", 0), finished(1), reveal(2, "3", 0), finished(0)]
    lines = show(pipe_console(), [STAGE, *events]).splitlines()
    assert [line for line in lines if "canvas" in line] == ["canvas 0", "canvas 1"]
    assert lines[3:5] == ["  1 _    ->  1 2         . 1", "  _ 4        3 4         2 ."]


def test_a_canvas_without_an_end_is_shown_when_the_stage_is_done() -> None:
    assert "canvas 0\n" in show(pipe_console(), [STAGE, canvas(0), reveal(1, "3"), {"event": "done", "seconds": 1.0}])


def test_when_a_stage_breaks_off_only_what_was_on_show_or_complete_is_kept() -> None:
    events = [canvas(0), canvas(1), canvas(2), reveal(1, "3", 0), reveal(1, "3", 1), finished(2, "valid")]
    lines = show(pipe_console(), [STAGE, *events, {"event": "interrupted", "step": 3}]).splitlines()
    assert [line for line in lines if "canvas" in line] == ["canvas 0: unfinished", "canvas 2: valid"]


# the display on a terminal


def test_what_stays_on_the_screen_is_each_line_once() -> None:
    raw = show(terminal(), RUN)
    assert raw.count("\x1b[?25l") == raw.count("\x1b[?25h") == 1
    shown = screen(raw)
    assert shown[:9] == [
        "train  pretrain  attempt 2  5d0e",
        "cpu, 2 cores·[2J",
        "train  step 140  held-out bound 2.710 bits per byte",
        "canvas 0: valid",
        "  1 3",
        "  2 4",
        "  filled early ■■■■■■■■■■ late, given cells dim",
        "",
        "canvas 1",
    ]
    assert [line for line in shown[-6:] if line] == ["train  done in 1:03", "interrupted at step 123", "failed: no", "memory"]
    assert "\x1b[31mfailed: no" in raw


def test_a_terminal_without_animation_keeps_colours_and_moves_nothing() -> None:
    raw = show(terminal(), RUN, animate=False)
    assert "\x1b[31mfailed: no" in raw
    assert not re.search(r"\x1b\[[0-9;?]*[^m0-9;?]", raw)


def test_each_step_is_drawn_and_stays_for_a_moment() -> None:
    clock = Clock()
    raw = show(terminal(), [STAGE, canvas(), reveal(1, "3"), reveal(2, "2"), finished()], clock)
    assert clock.slept == pytest.approx([0.06, 0.06])
    assert "\x1b[1;7;38;2;" in raw


def test_pacing_ends_after_six_seconds_a_stage() -> None:
    clock = Clock()
    long = [canvas(0, "_" * 150, None), *(reveal(position, "x") for position in range(150)), finished()]
    show(terminal(), [STAGE, *long], clock)
    assert sum(clock.slept) == pytest.approx(6.0)
    assert max(clock.slept) <= 0.06 + 1e-9
    clock.slept.clear()
    show(terminal(), [STAGE, *long, STAGE | {"stage": "again"}, *long], clock)
    assert sum(clock.slept) == pytest.approx(12.0)


def test_steps_that_come_slowly_are_not_held_back() -> None:
    clock = Clock()
    console = terminal()
    with Display(console, animate=True, clock=clock, sleep=clock.sleep) as display:
        for event in (STAGE, canvas(), reveal(1, "3"), reveal(2, "2"), finished()):
            clock.now += 0.5
            display.handle(event)
    assert clock.slept == []


def test_a_pipe_never_waits() -> None:
    clock = Clock()
    show(pipe_console(), RUN, clock)
    assert clock.slept == []


def test_an_interrupt_while_a_canvas_fills_leaves_the_terminal_usable() -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    console, before = terminal(), (sys.stdout, sys.stderr)
    with pytest.raises(KeyboardInterrupt), Display(console, animate=True, clock=Clock(), sleep=interrupt) as display:
        for event in (STAGE, canvas(), reveal(1, "3")):
            display.handle(event)
    assert (sys.stdout, sys.stderr) == before
    raw = written(console)
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")
    console.print("after")
    assert [line for line in screen(written(console)) if line] == ["train  pretrain  5d0e", "after"]


def test_a_canvas_taller_than_the_terminal_leaves_the_progress_line_in_sight() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=12, color_system="truecolor", _environ={"TERM": "xterm"})
    raw = show(console, [STAGE, progress(0, 1, 9), canvas(0, "_" * 40, 1), reveal(0, "x"), reveal(1, "y")])
    moves = [run.count("A") for run in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", raw)]
    assert max(moves) == 10  # title, seven rows, blank, progress: erased whole, with two lines of the terminal to spare
    assert raw.rindex("1/9") > raw.rindex("canvas 0")


def test_the_display_imports_neither_torch_nor_plotext() -> None:
    code = "import sys, dllm_run.cli.display, dllm_run.cli.follow; print({'torch', 'plotext', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# --- certainty, and masks that come back


def filled(*reveals: tuple[list[int], list[str], list[float]]) -> list[Event]:
    canvas: Event = {"event": "canvas", "request": 0, "title": "t", "cells": ["A", *"____"], "given": [True, *[False] * 4]}
    steps: list[Event] = [
        {"event": "reveal", "request": 0, "positions": places, "cells": cells, "confidence": sure} for places, cells, sure in reveals
    ]
    return [{**canvas, "columns": None, "mask": "_"}, *steps, {"event": "canvas_done", "request": 0, "note": None}]


UNSURE = (([1], ["b"], [0.999]), ([2], ["c"], [0.5]), ([3, 4], ["d", "e"], [0.0, 0.25]))


def test_under_a_text_in_a_pipe_stand_tenths_of_doubt_where_they_are_asked_for() -> None:
    console, clock = pipe_console(), Clock()
    with Display(console, animate=True, color="confidence", clock=clock, sleep=clock.sleep) as display:
        for event in filled(*UNSURE):
            display.handle(event)
    assert written(console).splitlines()[1:4] == [
        "  Abcde",
        "   0597",
        "  (under each line, the doubt of the model: 0 certain, 9 next to impossible)",
    ]


def test_colours_of_doubt_do_not_depend_on_what_else_is_on_the_canvas() -> None:
    def colours(*reveals: tuple[list[int], list[str], list[float]]) -> list[str]:
        console, clock = terminal(), Clock()
        with Display(console, animate=False, color="confidence", clock=clock, sleep=clock.sleep) as display:
            for event in filled(*reveals):
                display.handle(event)
        return re.findall(r"\x1b\[38;2;([0-9;]+)m([a-e])", written(console))  # type: ignore[no-any-return]

    every = {cell: colour for colour, cell in colours(*UNSURE)}
    alone = {cell: colour for colour, cell in colours(UNSURE[1])}
    assert alone["c"] == every["c"]
    assert every["b"] == "0;150;215" and every["d"] == "235;115;0"


def test_a_mask_that_came_back_looks_unlike_one_that_was_never_filled_until_it_is_filled_again() -> None:
    console, clock, frames = terminal(), Clock(), []
    with Display(console, animate=True, clock=clock, sleep=clock.sleep) as display:
        for event in filled(([1], ["b"], [0.9]), ([1], ["_"], [0.0]), ([1], ["x"], [0.5]))[:-1]:
            display.handle(event)
            other = terminal()
            other.print(display._frame())
            frames.append(re.sub(r"\x1b\[[0-9;]*m", "", written(other)).splitlines()[1].strip())
    assert frames == ["A░░░░", "Ab░░░", "A▒░░░", "Ax░░░"]
