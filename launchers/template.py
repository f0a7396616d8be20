"""Text from the templates beside this file: strict, so that a name that is not given is an error and never an empty word."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jinja2

E = TypeVar("E", bound=jinja2.Environment)


def prepare(environment: E) -> E:
    """The same white space and the same filters in every template. `q` quotes for the shell."""
    environment.keep_trailing_newline = True
    environment.trim_blocks = True
    environment.lstrip_blocks = True
    environment.filters["q"] = shlex.quote
    return environment


_ENVIRONMENT = prepare(
    jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # shell, not HTML
    )
)


def fill(name: str, values: Mapping[str, Any]) -> str:
    """The text of a template. Raises jinja2.UndefinedError for a name that is not given."""
    return _ENVIRONMENT.get_template(f"{name}.j2").render(values)
