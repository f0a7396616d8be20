"""Diagnostics on standard error, with the command that says more."""

import os
import sys
from collections.abc import Sequence

from dllm_run.compiler.render import as_json, render
from dllm_run.specs.codes import page
from dllm_run.specs.errors import Diagnostic


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Print all of them; nothing for none. Where there are errors, the last line names the page of the first."""
    if diagnostics:
        print(render(diagnostics, color=sys.stderr.isatty() and "NO_COLOR" not in os.environ) + _more(diagnostics), file=sys.stderr)


def _more(diagnostics: Sequence[Diagnostic]) -> str:
    codes = [str(item["code"]) for item in as_json(diagnostics) if item["severity"] == "error"]
    code = next((code for code in codes if page(code) is not None), None)
    return f": `dllm-run explain {code}` says more" if code else ""
