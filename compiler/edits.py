"""Edits of a text at the places that marks give, so that every other character stays."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from dllm_run.specs.errors import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A piece of a text, by its offsets, and what stands there afterwards."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text that knows where its lines begin, as marks count them."""

    text: str
    starts: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> "Text":
        """The lines end in `\\n`, whatever stands before it."""
        return cls(text, tuple(accumulate((len(line) + 1 for line in text.split("\n")), initial=0)))

    def offset(self, mark: Mark) -> int:
        """Where a mark begins."""
        return self.starts[mark.line - 1] + mark.column - 1

    def at(self, mark: Mark) -> str:
        """What a mark underlines."""
        start = self.offset(mark)
        return self.text[start : start + mark.length]

    def line(self, offset: int) -> int:
        """The number of the line of an offset."""
        return self.text.count("\n", 0, offset) + 1


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text after all edits, none of which overlap."""
    out, done = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        assert edit.start >= done, "edits overlap"
        out += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join([*out, text[done:]])


def moved(offset: int, edits: Iterable[Edit]) -> int:
    """Where a place of the old text is in the new one; no edit lies over it."""
    return offset + sum(len(edit.text) - (edit.end - edit.start) for edit in edits if edit.start < offset)
