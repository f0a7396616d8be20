"""Texts made from the columns of a row: `Question: {{ question }}`. Sandboxed; a column that is not there is an error."""

from collections.abc import Callable
from typing import Any

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .failure import Failure

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
_ERRORS = (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError)


def text_of(template: str) -> Callable[[dict[str, Any], str], str]:
    """The function that makes a row's text; its second argument is the row's place, for errors. Raises Failure."""
    compiled = _ENVIRONMENT.from_string(template)

    def fill(row: dict[str, Any], place: str) -> str:
        try:
            return compiled.render(row)
        except _ERRORS as error:
            raise Failure(
                f"{place}: the template {template!r} cannot be filled in: {error}; the row has {', '.join(map(repr, row))}"
            ) from None

    return fill


def holds(condition: str | None) -> Callable[[dict[str, Any], str], bool]:
    """The function that says whether a condition holds for a row, at a place; None holds for all. Raises Failure."""
    if condition is None:
        return lambda row, place: True
    fill = text_of(condition)

    def is_so(row: dict[str, Any], place: str) -> bool:
        found = fill(row, place).strip()
        if found not in ("True", "False"):
            raise Failure(f"{place}: the condition {condition!r} is {found[:80]!r} here, neither true nor false: compare with something")
        return found == "True"

    return is_so
