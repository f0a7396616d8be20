"""Texts and lists of names in messages, cut to what anybody reads."""

from collections.abc import Iterable
from typing import Final

LONGEST: Final = 80
"""Characters of a text that a message repeats."""
_LISTED = 40
"""Names that a reader looks through."""


def shortened(text: str) -> str:
    """A text of the user's as a message repeats it."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def listed(choices: Iterable[str]) -> str:
    """Names for a reader who shall choose one."""
    known = list(choices)
    more = f", … ({len(known) - _LISTED} more)" if len(known) > _LISTED else ""
    return ", ".join(map(shortened, known[:_LISTED])) + more
