"""Diagnostics as text, in rustc's manner, and as JSON."""

import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from dllm_run.specs.errors import Diagnostic, Mark

WIDTH: Final = 160
"""Characters of a source line that are shown."""

_BEFORE = 60
"""Characters kept before the caret when a line is cut."""
_COLORS = {"error": "1;31", "warning": "1;33"}
_BOLD, _BLUE, _GREEN = "1", "1;34", "32"
_UNSEEN = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would move the cursor, turn the text around or not encode."""


def render(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """All diagnostics in the order of the file, then how many there are. Empty for none; no newline at the end."""
    blocks = ["\n".join(_block(item, color)) for item in _ordered(diagnostics)]
    return "\n\n".join([*blocks, _summary(diagnostics)]) if blocks else ""


def as_json(diagnostics: Sequence[Diagnostic]) -> list[dict[str, str | int | None]]:
    """The same, in the same order, for `--json`; what a diagnostic does not have is null."""
    return [
        {
            "code": item.code,
            "severity": item.severity,
            "path": item.path or None,
            "file": item.mark.file if item.mark else None,
            "line": item.mark.line if item.mark else None,
            "column": item.mark.column if item.mark else None,
            "message": f"{item.message}: {item.label}" if item.label else item.message,
            "fix": item.fix,
        }
        for item in _ordered(diagnostics)
    ]


def _ordered(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    def place(item: Diagnostic) -> tuple[bool, str, int, int, str]:
        mark = item.mark
        return (True, "", 0, 0, item.code) if mark is None else (False, mark.file, mark.line, mark.column, item.code)

    return sorted(diagnostics, key=place)


def _block(item: Diagnostic, color: bool) -> Iterator[str]:
    tone = _COLORS.get(item.severity, _BOLD)
    marks = [mark for mark in (item.mark, *(mark for mark, _ in item.related)) if mark is not None]
    gutter = " " * max((len(str(mark.line)) for mark in marks), default=1)
    yield _paint(f"{item.severity}[{item.code}]", tone, color) + _paint(f" {_shown(item.message)}", _BOLD, color)
    if item.mark is not None:
        yield _arrow(item.mark, gutter, color)
        yield from _snippet(item.mark, item.label, gutter, tone, color)
    for mark, text in item.related:
        # A place without its line has nothing to write the text under.
        yield _arrow(mark, gutter, color) + ("" if mark.source.strip() else f"   {_shown(text)}")
        yield from _snippet(mark, text, gutter, _BLUE, color)
    equals = f"{gutter} {_paint('=', _BLUE, color)}"
    if item.label and (item.mark is None or not item.mark.source.strip()):
        yield f"{equals} {_shown(item.label)}"
    for note in item.notes:
        first, *more = note.split("\n")
        yield f"{equals} {_shown(first)}"
        yield from (f"{gutter}   {_shown(line)}" for line in more)
    if item.fix is not None:
        yield f"{equals} try: {_paint(f'-s {shlex.quote(_shown(item.fix))}', _GREEN, color)}"


def _arrow(mark: Mark, gutter: str, color: bool) -> str:
    return f"{gutter}{_paint('-->', _BLUE, color)} {_shown(mark.file)}:{mark.line}:{mark.column}"


def _snippet(mark: Mark, label: str, gutter: str, tone: str, color: bool) -> Iterator[str]:
    """The line of a mark with carets under it; nothing for a blank line."""
    if not mark.source.strip():
        return
    text, start, length = _cut(_shown(mark.source), mark.column - 1, mark.length)
    indent = "".join("\t" if char == "\t" else " " * _cells(char) for char in text[:start])
    carets = "^" * max(1, sum(map(_cells, text[start : start + length])))
    bar = _paint("|", _BLUE, color)
    number = _paint(f"{mark.line:>{len(gutter)}}", _BLUE, color)
    under = _paint(f"{carets} {_shown(label)}" if label else carets, tone, color)
    yield f"{gutter} {bar}"
    yield f"{number} {bar} {text}"
    yield f"{gutter} {bar} {indent}{under}"


def _cut(text: str, start: int, length: int) -> tuple[str, int, int]:
    """At most WIDTH characters around `start`, and where it stands in them."""
    start = min(start, len(text))
    if len(text) <= WIDTH:
        return text, start, length
    left = min(max(0, start - _BEFORE), len(text) - WIDTH)
    right = left + WIDTH
    shown = text[left:right]
    if left > 0:
        shown = "…" + shown[1:]
    if right < len(text):
        shown = shown[:-1] + "…"
        length = min(length, WIDTH - 1 - (start - left))
    return shown, start - left, length


def _cells(char: str) -> int:
    """Columns of a terminal that a character takes."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _shown(text: str) -> str:
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def _summary(diagnostics: Sequence[Diagnostic]) -> str:
    counts = Counter(item.severity for item in diagnostics)
    order = sorted(counts, key=lambda severity: (severity != "error", severity != "warning", severity))
    return ", ".join(f"{counts[severity]} {severity}{'s' if counts[severity] != 1 else ''}" for severity in order)
