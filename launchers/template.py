"""Text from the templates beside this file: strict, so that a name that is not given is an error and never an empty word."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # shell, not HTML: `q` quotes
)
_ENVIRONMENT.filters["q"] = shlex.quote


def fill(name: str, values: Mapping[str, Any]) -> str:
    """The text of a template. Raises jinja2.UndefinedError for a name that is not given."""
    return _ENVIRONMENT.get_template(f"{name}.j2").render(values)
