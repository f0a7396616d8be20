"""`dllm-run schema`: the language as JSON Schema."""

import argparse
import json

from dllm_run.compiler.schema import editor_schema


def main(options: argparse.Namespace) -> int:
    """Print the editor's schema; --json changes nothing, it is JSON."""
    print(json.dumps(editor_schema(), indent=2, ensure_ascii=False))
    return 0
