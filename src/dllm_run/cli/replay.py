"""Samples that a stage has kept, as the events that showed them when they were made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.errors import NotFound
from dllm_run.specs.plan import Plan
from dllm_run.specs.reference import Reference
from dllm_run.specs.store import Entry, Runs
from dllm_run.specs.vocabulary.stages.sample import Sample

from .follow import Tail
from .kept_spec import last_run
from .sampled import point_of
from .sides import find_side

Event = dict[str, Any]
MASK = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for a masked token: unlike an underscore, hardly ever a token of its own."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A sampling stage that is done."""

    name: str
    source: str
    entry: Entry
    rows: list[dict[str, Any]]
    results: dict[str, Any]


def kept_samples(text: str | None, stage: str | None, point: str | None, flags: Sequence[str], runs: Runs) -> Kept:
    """The samples of a stage, by default of the last that samples. Raises NotFound."""
    plan = _plan(text, flags, runs)
    stages = point_of(plan, point).stages
    known = [name for name, stage_id in stages.items() if isinstance(plan.stages[stage_id].body, Sample)]
    order = {stage_id: place for place, stage_id in enumerate(plan.stages)}
    known.sort(key=lambda name: order[stages[name]])
    if stage is not None and stage not in known:
        raise NotFound(f"there is no sampling stage {stage}: " + (f"there are {', '.join(known)}" if known else f"{plan.name} has none"))
    if not known:
        raise NotFound(f"{plan.name} has no stage that samples, so no trace was kept")
    name = stage or known[-1]
    entry = runs.entry(stages[name])
    body = plan.stages[stages[name]].body
    assert isinstance(body, Sample)
    file = entry.output("samples") / "samples.jsonl"
    if not entry.done or not file.is_file():
        raise NotFound(f"{name} has no samples under {runs.root} yet: run it first")
    source = plan.name_of(body.model.stage) if isinstance(body.model, Reference) else body.model.locator() or plan.name
    return Kept(name, source, entry, Tail(file).read(), entry.results() or {})


def _plan(text: str | None, flags: Sequence[str], runs: Runs) -> Plan:
    if text is not None:
        return find_side(text, flags, runs).side.plan
    return Plan.load(last_run(runs) / "plan.json")


def replayed(stage: Kept, number: int | None) -> Iterator[Event]:
    """Every sample, or the first ones: as it was shown where that was kept, else from its trace."""
    told = _told(stage.entry)
    for index, row in enumerate(stage.rows[:number]):
        yield from told.get(index) or (_from_edits(index, row) if "start_cells" in row else _from_trace(index, row, stage.name))


def _told(entry: Entry) -> dict[int, list[Event]]:
    """By sample: what was told of the canvas, where it was among those that were shown, masks that came back and all."""
    attempts = entry.attempts()
    found: dict[int, list[Event]] = {}
    sample_of: dict[int, int] = {}
    for event in Tail(attempts[-1].events).read() if attempts else ():
        if event.get("event") == "canvas" and "sample" in event:
            sample_of[event["request"]] = event["sample"]
        if event.get("request") in sample_of:
            found.setdefault(sample_of[event["request"]], []).append(event)
    # One without its end was not told whole.
    return {sample: events for sample, events in found.items() if events[-1]["event"] == "canvas_done"}


def _from_edits(index: int, row: dict[str, Any]) -> Iterator[Event]:
    """A canvas from the row that it began with, and its edits."""
    cells, edits = row["start_cells"], row["edits"]
    yield _canvas(index, cells, [cell != MASK for cell in cells])
    told: dict[int, list[Event]] = {}
    for step, op, position, cell in zip(edits["step"], edits["edit"], edits["position"], edits["cell"], strict=True):
        told.setdefault(step, []).append({"op": op, "position": position, "cell": cell})
    for step, happened in sorted(told.items()):
        yield {"event": "edits", "request": index, "step": step, "edits": happened}
    yield {"event": "canvas_done", "request": index, "note": None}


def _canvas(index: int, cells: list[str], given: list[bool]) -> Event:
    title = f"sample {index + 1}"
    return {
        "event": "canvas", "request": index, "sample": index, "title": title, "cells": cells, "given": given, "columns": None, "mask": MASK
    }  # fmt: skip


def _from_trace(index: int, row: dict[str, Any], name: str) -> Iterator[Event]:
    """A canvas from its kept tokens and the step of each. Raises NotFound where they were not kept."""
    if not ({"pieces", "step"} <= set(row)):
        raise NotFound(f"sample {index + 1} of {name} was kept without the text of each token, by an earlier version: run the stage anew")
    pieces, steps = row["pieces"], row["step"]
    # Behind the end of an answer stands what was never asked for.
    shown = [place for place, step in enumerate(steps) if step >= -1]
    given = [steps[place] < 0 for place in shown]
    cells = [pieces[place] if fixed else MASK for place, fixed in zip(shown, given, strict=True)]
    yield _canvas(index, cells, given)
    for step in sorted({steps[place] for place in shown if steps[place] >= 0}):
        positions = [position for position, place in enumerate(shown) if steps[place] == step]
        places = [shown[position] for position in positions]
        texts = [pieces[place] for place in places]
        confidence = [row["probability"][place] for place in places]
        yield {"event": "reveal", "request": index, "step": step, "positions": positions, "cells": texts, "confidence": confidence}
    yield {"event": "canvas_done", "request": index, "note": None}
