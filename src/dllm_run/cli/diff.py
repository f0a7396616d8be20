"""`dllm-run diff OLD NEW`: changes by effect, what follows from them, and which results stand."""

import argparse
import json
from pathlib import Path
from typing import Any

from dllm_run.compiler.diff import Difference, diff
from dllm_run.specs.effect import Effect
from dllm_run.specs.store import Runs

from .difftext import text
from .sides import find_side
from .usage import Usage


def main(options: argparse.Namespace) -> int:
    """4 if a result field differs, with --strict also if one of numerics does, else 0."""
    runs = Runs(Path(options.runs))
    old, new = (find_side(name, options.set, runs) for name in (options.old, options.new))
    if options.set and not (old.is_spec or new.is_spec):
        raise Usage("-s changes specs, and both of these are compiled already")
    found = diff(old.side, new.side, lambda stage_id: _size(runs, stage_id))
    work = _finished_work(found, runs)
    print(json.dumps(document(found, work), indent=2, ensure_ascii=False) if options.json else text(found, work))
    relevant = (Effect.RESULT, Effect.NUMERICS) if options.strict else (Effect.RESULT,)
    return 4 if found.strongest in relevant else 0


def document(found: Difference, work: dict[str, float] | None = None) -> dict[str, Any]:
    """The difference as plain data."""
    changes = [
        {"path": change.path, "old": change.old, "new": change.new, "effect": change.effect.value}
        | {"place": change.place, "notes": list(change.notes), "points": list(change.points)}
        for change in found.changes
    ]
    derived = [{"stage": item.stage, "name": item.name, "old": item.old, "new": item.new} for item in found.derived]
    points = found.points
    return {
        "schema": "dllm-run/diff/1",
        "changes": changes,
        "derived": derived,
        "points": {
            "added": list(points.added),
            "removed": list(points.removed),
            "kept": list(points.kept),
            "changed": list(points.changed),
        },
        "invalidated": list(found.invalidated),
        "kept": list(found.kept),
        "stages": [
            {"id": stage.id, "name": stage.name, "points": list(stage.points), "kept": stage.kept, "seconds": (work or {}).get(stage.id)}
            for stage in found.stages
        ],
    }


def _size(runs: Runs, stage_id: str) -> tuple[int, int] | None:
    """Sequences and tokens of a data set that was prepared here."""
    match runs.entry(stage_id).results() or {}:
        case {"train": {"sequences": int(sequences), "tokens": int(tokens)}}:
            return sequences, tokens
    return None


def _finished_work(found: Difference, runs: Runs) -> dict[str, float]:
    """Seconds that kept stages took here, by id, of those that have their result."""
    entries = {stage.id: runs.entry(stage.id) for stage in found.stages if stage.kept}
    done = {stage_id: entry for stage_id, entry in entries.items() if entry.done}
    return {stage_id: sum(float(attempt.status().get("seconds", 0)) for attempt in entry.attempts()) for stage_id, entry in done.items()}
