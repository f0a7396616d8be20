"""`dllm-run lock SPEC [--update]`: the content of every input, written down."""

import argparse
import json

from dllm_run.compiler.lock import lock_text
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.store import write_atomic

from .specs import find


def main(options: argparse.Namespace) -> int:
    """0 if written. Without --update, inputs that differ from an existing lock are exit 6."""
    named = find(options.spec, options.set, new_lock=options.update)
    if named.lock_path is None:
        raise EnvironmentProblem("a recipe has no lock file of its own: its lock is written with each run")
    drift = named.lock.drift(named.lock.locked.values())
    if drift and not options.update:
        raise EnvironmentProblem("; ".join(drift) + " (--update accepts it)")
    if options.update:
        named.lock.locked.clear()
    plan = named.compiled().plan
    write_atomic(named.lock_path, lock_text(plan.inputs.values()))
    if options.json:
        print(
            json.dumps(
                {"schema": "dllm-run/lock-written/1", "file": str(named.lock_path), "inputs": sorted(plan.inputs), "accepted": drift},
                indent=2,
            )
        )
    else:
        print(f"{named.lock_path}: {len(plan.inputs)} inputs" + "".join(f"\n  accepted: {item}" for item in drift))
    return 0
