"""`dllm-run compile SPEC -o DIR [--check]`: the compiled tree on disk."""

import argparse
import json
import sys
from pathlib import Path

from .specs import find
from .tree import differences, tree, write


def main(options: argparse.Namespace) -> int:
    """0 if written or equal, 4 if --check finds a difference."""
    named = find(options.spec, options.set)
    compiled = named.compiled()
    files, plan = tree(named, compiled), compiled.plan
    folder = Path(options.output) if options.output else Path("compiled") / plan.name
    differing = differences(files, folder) if options.check else []
    if not options.check:
        write(files, folder)
    if options.json:
        document = {
            "schema": "dllm-run/compile/1",
            "folder": str(folder),
            "run": plan.run_id,
            "files": sorted(files),
            "differs": differing,
        }
        print(json.dumps(document, indent=2))
    elif options.check:
        print(
            f"{folder}: {'differs in ' + ', '.join(differing) if differing else 'identical'}", file=sys.stderr if differing else sys.stdout
        )
    else:
        print(f"{folder}: {len(files)} files, {len(plan.stages)} stages, {len(plan.points)} points, run {plan.run_id}")
    return 4 if differing else 0
