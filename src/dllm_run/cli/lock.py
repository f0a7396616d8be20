"""`dllm-run lock SPEC [--update]`: the content of every input, written down."""

import argparse
import json

from rich.console import Console

from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.inputs import is_downloaded

from .diagnostics import show
from .fetch import write_lock
from .fetching import fetched, needs_of
from .specs import find


def main(options: argparse.Namespace) -> int:
    """0 if written. Without --update, inputs that differ from an existing lock are exit 6."""
    named = find(options.spec, options.set, new_lock=options.update)
    if named.lock_path is None:
        raise EnvironmentProblem("a recipe has no lock file of its own: its lock is written with each run")
    # What was not downloaded here is locked all the same.
    drift = named.lock.drift(record for record in named.lock.locked.values() if record.kind != "hub" or is_downloaded(record, named.base))
    if drift and not options.update:
        raise EnvironmentProblem("; ".join(drift) + " (--update accepts it)")
    if options.update:
        named.lock.locked.clear()
    compiled = named.compile()
    needs = [need for need in needs_of(compiled.plan) if not need.record.resolved]
    found = fetched(needs, Console(highlight=False, stderr=True))
    write_lock(named, compiled.plan, [item.record for item in found])
    compiled = named.compile() if found else compiled
    show(compiled.warnings)
    plan = compiled.plan
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
