"""A kept trace as events: what was shown is shown again, the rest follows from steps and probabilities."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import Folder, finish

from dllm_run.cli.edits import edit
from dllm_run.cli.replay import Kept, replayed
from dllm_run.cli.reveals import Canvas, Reveals
from dllm_run.specs.errors import NotFound
from dllm_run.specs.store import Entry

ROW = {
    "masked": "A__ _",
    "text": "A_c d",
    "tokens": [65, 98, 99, 32, 100, 0],
    "pieces": ["A", "_", "c", " ", "d", ""],
    "step": [-1, 2, 0, -1, 2, -2],
    "probability": [1.0, 0.5, 0.85, 1.0, 0.25, 1.0],
}


def kept(path: Path, rows: list[dict[str, Any]], events: list[dict[str, Any]] | None = None) -> Kept:
    entry = Entry(path)
    if events is not None:
        attempt = entry.new_attempt()
        attempt.events.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return Kept("look", "train", entry, rows, {})


def played(stage: Kept, number: int | None = None) -> list[Canvas]:
    found: list[Canvas] = []
    reveals = Reveals(lambda: None, found.append, None, edit)
    for event in replayed(stage, number):
        reveals.handle(event)
    return found


def test_a_trace_fills_the_canvas_in_the_order_of_its_steps(tmp_path: Path) -> None:
    [canvas] = played(kept(tmp_path, [ROW]))
    # The last token stands behind the end and was never asked for.
    assert canvas.cells == ["A", "_", "c", " ", "d"]
    assert canvas.given == [True, False, False, True, False]
    assert canvas.order == [None, 2, 1, None, 2]
    assert canvas.doubts() == [None, 6, 2, None, 8]


def test_what_was_told_of_a_sample_is_played_as_it_was_with_masks_that_came_back(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"event": "canvas", "request": 0, "sample": 1, "title": "second", "cells": ["_"], "given": [False], "columns": None, "mask": "_"},
        {"event": "reveal", "request": 0, "step": 0, "positions": [0], "cells": ["x"], "confidence": [0.5]},
        {"event": "progress", "unit": "requests", "done": 0, "total": 2},
        {"event": "reveal", "request": 0, "step": 1, "positions": [0], "cells": ["_"], "confidence": [0.0]},
        {"event": "reveal", "request": 0, "step": 2, "positions": [0], "cells": ["y"], "confidence": [1.0]},
        {"event": "canvas_done", "request": 0, "note": "noted"},
    ]
    stage = kept(tmp_path, [ROW, ROW], events)
    assert list(replayed(stage, None))[-5:] == [event for event in events if event["event"] != "progress"]
    assert [(canvas.title, "".join(canvas.cells), canvas.note) for canvas in played(stage)] == [
        ("sample 1", "A_c d", None),
        ("second", "y", "noted"),
    ]
    assert [canvas.title for canvas in played(stage, 1)] == ["sample 1"]


def test_a_trace_without_the_text_of_each_token_is_refused(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "pieces"}
    with pytest.raises(NotFound, match="run the stage anew"):
        list(replayed(kept(tmp_path, [row]), None))


def test_replay_on_the_command_line_reads_what_the_stage_has_kept(folder: Folder) -> None:
    plan = folder.run(done=("train",))
    (point,) = plan.points.values()
    entry = folder.runs.entry(point.stages["look"])
    assert folder.said("sample", "spec.yaml", "--replay") == (5, "dllm-run: look has no samples under runs yet: run it first\n")
    (entry.output("samples")).mkdir(parents=True)
    (entry.output("samples") / "samples.jsonl").write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    finish(entry)
    code, text = folder.said("sample", "small", "--replay")
    assert code == 0 and "  A_c d\n   10 1\n" in text
    code, text = folder.said("sample", "spec.yaml", "--replay", "--color", "confidence")
    assert code == 0 and "  A_c d\n   51 7\n" in text
    code, text = folder.said("sample", "--replay", "--json")
    assert code == 0 and json.loads(text)["samples"] == [ROW] and json.loads(text)["stage"] == "look"
    code, text = folder.said("sample", "small", "--replay", "--prompt", "x", "--steps", "3")
    assert code == 2 and "--prompt, --steps would change it" in text
    code, text = folder.said("sample", "small", "--replay", "--stage", "train")
    assert code == 5 and "there are look" in text
