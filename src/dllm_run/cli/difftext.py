"""The text of a difference, for people."""

import json
from collections.abc import Sequence
from typing import Any

from dllm_run.compiler.derived import Derived
from dllm_run.compiler.diff import Difference, StageFate
from dllm_run.compiler.stagediff import Change
from dllm_run.specs.effect import Effect

from .progress import clock_text

_TITLES = {
    Effect.RESULT: "changes what is computed",
    Effect.NUMERICS: "same mathematics, other rounding",
    Effect.NONE: "names, places, logging",
}
_NAMES = 12
"""Names that a line lists before it counts the rest."""
_FEW = 3
"""Stages of one name, in the points of a sweep, that are listed before they are counted."""
_WIDE = 40


def text(found: Difference, work: dict[str, float]) -> str:
    """All of it; one line where nothing differs. `work`: seconds of the finished stages that are kept, by id."""
    if found.strongest is None and not found.derived:
        return f"no difference. Kept: {_listed(_grouped(found.stages))}"
    lines = []
    for effect in Effect:
        mine = [change for change in found.changes if change.effect is effect]
        if mine:
            name = "NO EFFECT" if effect is Effect.NONE else effect.value.upper()
            lines += [f"{name} ({len(mine)})".ljust(16) + _TITLES[effect], *_aligned([_row(change) for change in mine])]
    lines += _derived(found)
    lines += _points(found)
    invalidated, kept = ([stage for stage in found.stages if stage.kept is keep] for keep in (False, True))
    lines.append(f"Invalidates: {_listed(_grouped(invalidated))}.   Kept: {_listed(_grouped(kept))}.")
    lines.append(_reusable(found, work))
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A value in few letters."""
    if value is None:
        return "-"
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return written if len(written) <= _WIDE else written[: _WIDE - 1] + "…"


def _row(change: Change) -> tuple[str, ...]:
    about = [*change.notes, *([f"in {_listed(change.points, 3)}"] if change.points else [])]
    return change.path, _values(change), change.place or "", "; ".join(about)


def _values(change: Change) -> str:
    if isinstance(change.old, dict) and isinstance(change.new, dict):
        return _files(change.old, change.new)
    if change.path == "points":
        return ", ".join(f"{len(names)} {what}" for names, what in ((change.old, "removed"), (change.new, "added")) if names)
    return f"{shown(change.old)} -> {shown(change.new)}"


def _files(old: dict[str, str], new: dict[str, str]) -> str:
    """Files of an input by their hashes: one as two short hashes, several as counts."""
    if len(old) == len(new) == 1:
        (was,), (now,) = old.values(), new.values()
        return f"{was[:8]} -> {now[:8]}"
    counts = {
        "changed": sum(new[name] != sha for name, sha in old.items() if name in new),
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) + f" of {len(old.keys() | new.keys())} files"


def _derived(found: Difference) -> list[str]:
    """What no line of a change has told already."""
    told = {note for change in found.changes for note in change.notes}
    rest = [item for item in found.derived if item.note() not in told]
    if not rest:
        return []
    return [f"DERIVED ({len(rest)})".ljust(16) + "follows from the changes", *_aligned([_derived_row(item) for item in rest])]


def _derived_row(item: Derived) -> tuple[str, ...]:
    return item.stage, item.name, f"{shown(item.old)} -> {shown(item.new)}"


def _points(found: Difference) -> list[str]:
    points = found.points
    parts = [
        (f"{len(names)} {what}", names)
        for what, names in (("added", points.added), ("removed", points.removed), ("changed", points.changed))
    ]
    lines = [f"  {title}: {_listed(names)}" for title, names in parts if names]
    return ["POINTS".ljust(16) + f"{len(points.kept)} kept", *lines] if lines else []


def _reusable(found: Difference, work: dict[str, float]) -> str:
    kept = sum(stage.kept for stage in found.stages)
    done = f"; {len(work)} of them have results here, {clock_text(sum(work.values()))} of work" if work else ""
    return f"Reusable: {kept} of {len(found.stages)} stages{done}."


def _grouped(stages: Sequence[StageFate]) -> list[str]:
    """Labels; of many stages of one name, their number."""
    by_name: dict[str, list[str]] = {}
    for stage in stages:
        by_name.setdefault(stage.name, []).append(stage.label)
    return [text for name, labels in by_name.items() for text in (labels if len(labels) <= _FEW else [f"{len(labels)} of {name}"])]


def _listed(names: Sequence[str], limit: int = _NAMES) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "nothing"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip() for row in rows]
