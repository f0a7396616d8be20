"""A canvas as text: its cells, which were given, and in which order the others were revealed; pure functions, no terminal.

`order` holds for each position the number of the step that filled it, from 1; None where it was given or is still open.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.text import Text

OPEN = "_"
AGAIN = "▒"
"""Was filled, and is open again."""
GIVEN = "."
DOUBT_LEGEND = "(under each line, the doubt of the model: 0 certain, 9 next to impossible)"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# Early, middle, late: told apart on dark and on light backgrounds, and by people who see little red or green.
RAMP = ((0, 150, 215), (165, 85, 205), (235, 115, 0))
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Glyph(NamedTuple):
    """What stands in the same columns of a line: a character with its marks, its width, and the position it comes from."""

    text: str
    width: int
    position: int
    newline: bool


def visible(piece: str) -> str:
    """The piece with newlines as ↵ and every other character that moves the cursor as ·, so that columns stay aligned."""
    return "".join("↵" if char == "\n" else "·" if unicodedata.category(char) in UNPRINTABLE else char for char in piece)


def visible_lines(text: str) -> str:
    """As `visible`, but newlines still break the line."""
    return "\n".join(map(visible, text.split("\n")))


@lru_cache(maxsize=1024)
def ramp(share: float) -> Style:
    """The colour of a reveal: 0 is the first step, 1 the last."""
    low, high, within = (RAMP[0], RAMP[1], share * 2) if share < 0.5 else (RAMP[1], RAMP[2], share * 2 - 1)
    red, green, blue = (round(a + (b - a) * within) for a, b in zip(low, high, strict=True))
    return Style(color=Color.from_rgb(red, green, blue))


def legend(first: str = "filled early", last: str = "late") -> Text:
    """One line that explains the colours, from that of `first` to that of `last`."""
    blocks = [("■", ramp(step / 9)) for step in range(10)]
    return Text.assemble((f"{first} ", "dim"), *blocks, (f" {last}, given cells dim", "dim"))


def canvas_text(
    cells: Sequence[str],
    given: Sequence[bool],
    order: Sequence[int | None],
    columns: int | None,
    width: int,
    fresh: frozenset[int] = frozenset(),
    *,
    again: frozenset[int] = frozenset(),
    last: int | None = None,
    struck: frozenset[int] = frozenset(),
    signs: Sequence[str] = (),
) -> Text:
    """The canvas in colours: given cells dim, filled ones along the ramp, positions in `fresh` in reverse.

    Positions in `again` were filled and are open again. The ramp ends at `last`; None: at the last step.
    Of edits: positions in `struck` crossed out, those with a sign that is no insertion's underlined.
    """
    shown = _shown(cells, given, order, "░" if columns is None else OPEN)
    shown = [AGAIN if at in again else cell for at, cell in enumerate(shown)]
    styles = _styles(given, order, fresh, last)
    for position, style in enumerate(styles):
        if position in struck:
            styles[position] = Style(strike=True, dim=True)
        elif signs and signs[position] == "~":
            styles[position] = style + Style(underline=True)
    if columns is None:
        lines = [Text.assemble(*((glyph.text, styles[glyph.position]) for glyph in line)) for line in _wrap(shown, width)]
        return Text("\n").join(lines)
    size = max(map(cell_len, map(visible, shown)), default=1)
    rows = [
        Text(" ").join(Text(_pad(visible(shown[at]), size), styles[at]) for at in range(start, min(start + columns, len(shown))))
        for start in range(0, len(shown), columns)
    ]
    return Text("\n").join(rows)


def canvas_plain(
    cells: Sequence[str],
    given: Sequence[bool],
    order: Sequence[int | None],
    columns: int | None,
    width: int,
    head: str = "order",
    signs: Sequence[str] = (),
) -> str:
    """The canvas without colours: a grid as start, finish and order side by side; text with a digit of the order under each character.

    Under the digits the signs of edits, where there are any.
    """
    shown = _shown(cells, given, order, OPEN)
    if columns is None:
        return _plain_text(shown, order, width, signs if any(signs) else ())
    start = [cell if fixed else OPEN for cell, fixed in zip(cells, given, strict=True)]
    steps = [GIVEN if fixed else OPEN if step is None else str(step) for fixed, step in zip(given, order, strict=True)]
    blocks = [_block("start", start, columns), _block("finished", shown, columns), _block(head, steps, columns, right=True)]
    if sum(cell_len(block[0]) for block in blocks) + 8 > width:
        return "\n".join(line.rstrip() for block in blocks for line in block)
    middle = len(blocks[0]) // 2
    rows = zip(*blocks, strict=True)
    return "\n".join(f"{a}  {'->' if row == middle else '  '}  {b}    {c}".rstrip() for row, (a, b, c) in enumerate(rows))


def order_digits(order: Sequence[int | None]) -> list[str]:
    """One character a position: the step counted from 0 if 36 characters are enough, else scaled to them; blank without a step."""
    last = max((step for step in order if step is not None), default=1)
    scale = 1.0 if last <= len(DIGITS) else (len(DIGITS) - 1) / (last - 1)
    return [" " if step is None else DIGITS[round((step - 1) * scale)] for step in order]


def order_legend(order: Sequence[int | None]) -> str:
    """One line that explains the digits."""
    digits = [digit for digit in order_digits(order) if digit != " "]
    return f"(under each line, when it was filled: 0 first, {max(digits)} last)" if digits else "(nothing was filled)"


def _shown(cells: Sequence[str], given: Sequence[bool], order: Sequence[int | None], hole: str) -> list[str]:
    return [cell if fixed or step is not None else hole for cell, fixed, step in zip(cells, given, order, strict=True)]


def _styles(given: Sequence[bool], order: Sequence[int | None], fresh: frozenset[int], last: int | None) -> list[Style]:
    last = last or max((step for step in order if step is not None), default=1)
    styles = []
    for position, (fixed, step) in enumerate(zip(given, order, strict=True)):
        style = Style(dim=True) if fixed or step is None else ramp((step - 1) / max(last - 1, 1))
        styles.append(style + Style(bold=True, reverse=True) if position in fresh else style)
    return styles


def _glyphs(pieces: Sequence[str]) -> list[Glyph]:
    glyphs: list[Glyph] = []
    for position, piece in enumerate(pieces):
        for char in piece:
            sign = visible(char)
            before = glyphs[-1] if glyphs else Glyph("", 0, position, False)
            # Measured together with what stands before: marks and the second half of a flag add no column.
            joined = cell_len(before.text + sign)
            if glyphs and joined == before.width:
                glyphs[-1] = before._replace(text=before.text + sign)
            else:
                glyphs.append(Glyph(sign, max(joined - before.width, 0), position, char == "\n"))
    return glyphs


def _wrap(pieces: Sequence[str], width: int) -> list[list[Glyph]]:
    """Lines of at most `width` columns, broken after spaces where that is not too early, and after each run of newlines."""
    lines: list[list[Glyph]] = [[]]
    used = 0
    for glyph in _glyphs(pieces):
        line = lines[-1]
        if line and line[-1].newline and not glyph.newline:
            lines.append([])
        elif used + glyph.width > width:
            spaces = [at + 1 for at, other in enumerate(line) if other.text == " " and at >= len(line) // 2]
            cut = spaces[-1] if spaces and glyph.text != " " else len(line)
            lines[-1:] = [line[:cut], line[cut:]]
        else:
            line.append(glyph)
            used += glyph.width
            continue
        lines[-1].append(glyph)
        used = sum(other.width for other in lines[-1])
    return lines


def _plain_text(shown: Sequence[str], order: Sequence[int | None], width: int, signs: Sequence[str]) -> str:
    digits = order_digits(order)
    lines = []
    for line in _wrap(shown, width):
        lines.append("".join(glyph.text for glyph in line).rstrip())
        lines.append("".join(digits[glyph.position] * glyph.width for glyph in line).rstrip())
        if signs:
            lines.append("".join((signs[glyph.position] or " ") * glyph.width for glyph in line).rstrip())
    return "\n".join(lines)


def _block(head: str, pieces: Sequence[str], columns: int, right: bool = False) -> list[str]:
    """A grid with its heading, every line of the same width."""
    signs = [visible(piece) for piece in pieces]
    size = max(map(cell_len, signs), default=1)
    padded = [_pad(sign, size, right) for sign in signs]
    rows = [" ".join(padded[start : start + columns]) for start in range(0, len(padded), columns)]
    widest = max(map(cell_len, [head, *rows]))
    return [_pad(row, widest) for row in [head, *rows]]


def _pad(text: str, size: int, right: bool = False) -> str:
    blank = " " * (size - cell_len(text))
    return blank + text if right else text + blank
