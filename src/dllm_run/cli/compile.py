"""`dllm-run compile SPEC -o DIR [--check]`: the compiled tree on disk."""

import argparse
import json
import sys
from pathlib import Path

from .specs import find
from .tree import tree
from .write import differences, replace


def main(options: argparse.Namespace) -> int:
    """0 if written or equal, 4 if --check finds a difference, 6 if the folder holds other things."""
    named = find(options.spec, options.set)
    compiled = named.compiled()
    files, plan = tree(named, compiled), compiled.plan
    folder = Path(options.output) if options.output else Path("compiled") / plan.name
    found = differences(files, folder) if options.check else None
    if found is None:
        replace(files, folder)
    lines = found.lines() if found is not None else []
    if options.json:
        document = {
            "schema": "dllm-run/compile/1",
            "folder": str(folder),
            "run": plan.run_id,
            "files": sorted(files),
            "differs": list(found.differing) if found is not None else [],
            "missing": list(found.missing) if found is not None else [],
            "superfluous": list(found.superfluous) if found is not None else [],
        }
        print(json.dumps(document, indent=2))
    elif lines:
        print("\n".join([f"{folder} is not what the spec compiles to", *(f"  {line}" for line in lines)]), file=sys.stderr)
    elif found is not None:
        print(f"{folder}: identical")
    else:
        print(f"{folder}: {len(files)} files, {len(plan.stages)} stages, {len(plan.points)} points, run {plan.run_id}")
    return 4 if lines else 0
