"""`dllm-run diff OLD NEW`: changes by effect, stages invalidated and kept."""

import argparse
import json
from typing import Any

from dllm_run.compiler.diff import Change, Difference, diff
from dllm_run.specs.effect import Effect

from .specs import find

_TITLES = {
    Effect.RESULT: "changes what is computed",
    Effect.NUMERICS: "same mathematics, other rounding",
    Effect.NONE: "names, places, logging",
}


def main(options: argparse.Namespace) -> int:
    """4 if a result field differs, else 0. Flags apply to both specs."""
    found = diff(find(options.old, options.set).compiled(), find(options.new, options.set).compiled())
    if options.json:
        print(json.dumps(_document(found), indent=2, ensure_ascii=False))
    else:
        print(text(found))
    return 4 if found.strongest is Effect.RESULT else 0


def text(found: Difference) -> str:
    """The difference for people."""
    if not found.changes:
        return f"no difference. Kept: {', '.join(found.kept) or 'nothing'}"
    lines = []
    for effect in Effect:
        mine = [change for change in found.changes if change.effect is effect]
        if mine:
            name = "NO EFFECT" if effect is Effect.NONE else effect.value.upper()
            lines.append(f"{name} ({len(mine)})".ljust(16) + _TITLES[effect])
            lines.extend(_lines(mine))
    lines.append(f"Invalidates: {', '.join(found.invalidated) or 'nothing'}.   Kept: {', '.join(found.kept) or 'nothing'}.")
    return "\n".join(lines)


def _lines(changes: list[Change]) -> list[str]:
    paths = max(len(change.path) for change in changes)
    values = [f"{_shown(change.old)} -> {_shown(change.new)}" for change in changes]
    wide = max(map(len, values))
    return [
        f"  {change.path:<{paths}}  {value:<{wide}}  {change.place or ''}".rstrip() for change, value in zip(changes, values, strict=True)
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value if len(value) <= 40 else value[:39] + "…"
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 40 else shown[:39] + "…"


def _document(found: Difference) -> dict[str, Any]:
    changes = [{"path": change.path, "old": change.old, "new": change.new, "effect": change.effect.value} for change in found.changes]
    return {"schema": "dllm-run/diff/1", "changes": changes, "invalidated": list(found.invalidated), "kept": list(found.kept)}
