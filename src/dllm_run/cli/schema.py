"""`dllm-run schema [--format md]`: the language as JSON Schema, or as a page to read."""

import argparse
import json

from dllm_run.compiler.reference import reference
from dllm_run.compiler.schema import editor_schema_text


def main(options: argparse.Namespace) -> int:
    """Print the editor's schema; --json changes nothing, it is JSON. With --format md the reference page, which --json wraps."""
    if options.format == "json":
        print(editor_schema_text(), end="")
    elif options.json:
        print(json.dumps({"schema": "dllm-run/reference/1", "markdown": reference()}, ensure_ascii=False))
    else:
        print(reference(), end="")
    return 0
