"""`dllm-run doctor [SPEC]`: what this machine has of what a run needs, and what to do about the rest; `--selftest` tries it."""

import argparse
import json
import platform
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dllm_run.specs.store import Runs

from .checks import Check, machine, probe, problem
from .selftest import selftest
from .spec_checks import of_spec
from .specs import find

_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def main(options: argparse.Namespace) -> int:
    """Print every finding. 6 if one of them is a problem."""
    runs = Runs(Path(options.runs))
    console = Console(highlight=False, stderr=options.json)
    console.print(f"[bold]{platform.node()}[/bold]   {platform.platform()}")
    found: list[Check] = []
    for check in machine(runs):
        found.append(_told(console, check))
    if options.spec is not None:
        named = find(options.spec, options.set)
        for check in of_spec(named, named.compiled().plan, runs):
            found.append(_told(console, check))
    if options.selftest:
        console.print("self-test: about five minutes")
        told = probe()
        checks = [problem("torch", told, "`python -c 'import torch'` shows the whole error")] if isinstance(told, str) else selftest(told)
        for check in checks:
            found.append(_told(console, check))
    problems = [check for check in found if check.state == "problem"]
    if options.json:
        checks_json = [{"name": item.name, "state": item.state, "found": item.found, "cure": item.cure} for item in found]
        print(json.dumps({"schema": "dllm-run/doctor/1", "ok": not problems, "host": platform.node(), "checks": checks_json}, indent=2))
    else:
        console.print(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}" if problems else "nothing is in the way")
    return 6 if problems else 0


def _told(console: Console, check: Check) -> Check:
    line = Text.assemble((f"{check.state:8}", _COLOURS[check.state]), (check.name, "bold"), f": {check.found}")
    console.print(line, soft_wrap=True)
    if check.cure:
        console.print(Text(f"        {check.cure}", "dim"), soft_wrap=True)
    return check
