"""What a training tells of its course: the learning rate in its picture, and how long it still takes."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from runtime_toys import compiled, context_of

from dllm_run.runtime.curve import save_curve
from dllm_run.runtime.history import History, history

SPEC = "version: 1\nname: toy\nstages: {words: {kind: tokenizer, type: bpe, vocab_size: 300, data: {sources: [{generate: sudoku}]}}}\n"


def test_the_picture_has_the_learning_rate_below_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def noted(figure: Figure, *arguments: object, **options: object) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", noted)
    found = History(train=[(1, 3.0), (2, 2.0)], held_out=[(2, 2.5)], learning_rate=[(1, 0.0), (2, 1e-3)])
    save_curve(tmp_path / "loss.png", found, measure="bound", unit="nats")
    losses, rates = drawn[0].axes
    assert [list(map(tuple, line.get_xydata())) for line in rates.lines] == [[(1, 0.0), (2, 1e-3)]]  # type: ignore[arg-type, call-overload]
    assert rates.get_ylabel() == "learning rate" and losses.get_ylabel() == "nats"
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_is_a_picture_too(tmp_path: Path) -> None:
    save_curve(tmp_path / "loss.png", History([], [], []), measure="bound", unit="nats")
    assert (tmp_path / "loss.png").is_file()


def test_the_time_that_is_left_stands_in_status_and_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(compiled(tmp_path, SPEC), "words", tmp_path)
    now = 100.0
    monkeypatch.setattr("dllm_run.runtime.context.time.monotonic", lambda: now)
    context.progress("steps", 10, 50)
    assert "eta" not in context.attempt.status()
    now = 104.0
    context.progress("steps", 20, 50)
    assert context.attempt.status()["eta"] == 12.0, "30 steps at 2.5 a second"
    now = 104.1  # too soon to be told, but counted
    context.progress("steps", 21, 50)
    assert context.attempt.status()["done"] == 20
    now = 110.0
    context.progress("steps", 50, 50)
    events = [json.loads(line) for line in context.attempt.events.read_text(encoding="utf-8").splitlines()]
    assert [event.get("eta") for event in events] == [None, 12.0, 0.0]


def test_the_learning_rate_of_a_step_that_was_done_again_is_the_later_one(tmp_path: Path) -> None:
    plan = compiled(tmp_path, SPEC)
    for rate in (1.0, 2.0):
        context = context_of(plan, "words", tmp_path)
        context.metric(1, {"loss": 1.0, "learning_rate": rate})
    context.metric(2, {"bound": 0.5})
    assert history(context.entry) == History([(1, 1.0)], [(2, 0.5)], [(1, 2.0)])
