"""What is wrong with a job script of the user's own, as data: found where scripts are rendered, told by the compiler."""

from dataclasses import dataclass
from enum import StrEnum


class ScriptFault(StrEnum):
    """The kinds of findings, by their codes."""

    SYNTAX = "E140"
    UNDEFINED = "E141"
    UNSAFE = "E142"
    FAILS = "E143"
    UNREAD = "E146"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptProblem:
    """A finding in a template, at a line of it."""

    fault: ScriptFault
    locator: str
    message: str
    line: int = 1
    name: str = ""
    """The name in question, where it is one."""
    known: tuple[str, ...] = ()
    """Names that would be right."""
    label: str = ""
