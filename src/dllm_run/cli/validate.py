"""`dllm-run validate SPEC…`: every error of every spec at once."""

import argparse
import json

from dllm_run.compiler.render import as_json
from dllm_run.specs.errors import Diagnostic, SpecError

from .diagnostics import show
from .specs import find


def main(options: argparse.Namespace) -> int:
    """0 if all are valid, else 3."""
    found: list[Diagnostic] = []
    for name in options.specs:
        named = find(name, options.set)
        try:
            found.extend(named.compile().warnings)
        except SpecError as error:
            found.extend(error.diagnostics)
    ok = not any(item.severity == "error" for item in found)
    if options.json:
        print(json.dumps({"schema": "dllm-run/validate/1", "ok": ok, "diagnostics": as_json(found)}, indent=2))
    elif found:
        show(found)
    else:
        print(f"{', '.join(options.specs)}: valid")
    return 0 if ok else SpecError.exit_code
