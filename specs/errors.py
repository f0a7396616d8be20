"""Errors that carry data: code, place and cure. The text is made at the edge.

DllmError
├── SpecError          the spec is wrong: one or more diagnostics   exit 3
├── NotFound           no such spec, run or stage                   exit 5
├── EnvironmentProblem this machine, lock or launcher can't do it   exit 6
└── StageFailed        a stage ran and failed                       exit 1
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a source text. Lines and columns count from 1; `length` is the number of characters to underline."""

    file: str
    line: int
    column: int
    length: int = 1
    source: str = field(default="", repr=False, compare=False)
    """The text of that line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding about a spec."""

    code: str
    message: str
    path: str = ""
    mark: Mark | None = None
    label: str = ""
    """What stands beside the caret."""
    notes: tuple[str, ...] = ()
    fix: str | None = None
    """A ready `-s path=value`."""
    related: tuple[tuple[Mark, str], ...] = ()
    severity: str = "error"


class DllmError(Exception):
    """Base of all errors that a user can meet; `exit_code` is what the command ends with."""

    exit_code = 1


class SpecError(DllmError):
    """The spec cannot be compiled; holds every diagnostic that was found."""

    exit_code = 3

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("; ".join(f"{item.code} {item.message}" for item in self.diagnostics))


class NotFound(DllmError):
    """A spec, run or stage that is not there."""

    exit_code = 5


class EnvironmentProblem(DllmError):
    """What this machine lacks, or what differs from the lock; the message says what to do."""

    exit_code = 6


class StageFailed(DllmError):
    """A stage ended without its result; the message is for the reader of the terminal."""

    exit_code = 1
