"""`dllm-run fetch SPEC`: everything that a spec needs from a hub, brought here, so that its jobs need no network."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from dllm_run.compiler.lock import lock_text
from dllm_run.specs.disk import cannot_write
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import InputRecord, Plan
from dllm_run.specs.store import Runs, write_atomic

from .diagnostics import show
from .fetching import Fetched, fetched, needs_of
from .specs import Named, find


def main(options: argparse.Namespace) -> int:
    """0 if all that the spec needs is here now; 6 if not, with every reason."""
    named = find(options.spec, options.set)
    compiled = named.compile()
    show([item for item in compiled.warnings if item.code != "W501"])
    plan = compiled.plan
    needs = needs_of(plan, Runs(Path(options.runs)))
    console = Console(highlight=False, stderr=True)
    found = fetched(needs, console)
    if plan.inputs:
        write_lock(named, plan, [item.record for item in found])
    missing = [_told(record) for record in plan.inputs.values() if record.kind != "hub" and not record.resolved]
    if options.json:
        print(json.dumps(_document(named, found, missing), indent=2))
    else:
        _print(Console(highlight=False), plan, found)
    if missing:
        raise EnvironmentProblem("on no hub, and not here:\n" + "\n".join(f"  {item}" for item in missing))
    return 0


def write_lock(named: Named, plan: Plan, records: list[InputRecord]) -> None:
    """Put what was fetched into the lock, in memory and beside the spec. Raises EnvironmentProblem where it cannot be written."""
    named.lock.locked.update((record.locator, record) for record in records)
    if named.lock_path is None:
        return
    now = [named.lock.locked.get(locator, record) for locator, record in plan.inputs.items()]
    try:
        write_atomic(named.lock_path, lock_text([*now, *named.lock.elsewhere(now)]))
    except OSError as error:
        raise cannot_write(error, named.lock_path) from None


def _told(record: InputRecord) -> str:
    if record.kind == "package":
        return f"{record.locator}: install the package"
    return f"{record.locator}: no such file (relative paths start in the folder of the spec)"


def _document(named: Named, found: list[Fetched], missing: list[str]) -> dict[str, object]:
    inputs = [
        {
            "locator": item.need.locator,
            "what": item.need.what,
            "revision": item.record.revision,
            "bytes": item.size,
            "downloaded": item.downloaded,
            "folder": str(item.folder),
            "files": sorted(item.record.files),
        }
        for item in found
    ]
    lock = None if named.lock_path is None else str(named.lock_path)
    return {"schema": "dllm-run/fetch/1", "inputs": inputs, "missing": missing, "lock": lock}


def _print(console: Console, plan: Plan, found: list[Fetched]) -> None:
    hubs = [record for record in plan.inputs.values() if record.kind == "hub"]
    if not hubs:
        console.print(f"{plan.name} needs nothing from a hub")
        return
    if len(found) < len(hubs):
        console.print(f"{len(hubs) - len(found)} inputs are read by stages with a result only: not fetched")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("INPUT", "REVISION", "SIZE", "DOWNLOADED", "WHERE"):
        table.add_column(column, overflow="fold", no_wrap=column in ("SIZE", "DOWNLOADED"))
    for item in found:
        loaded = decimal(item.downloaded) if item.downloaded else "-"
        table.add_row(item.need.locator, str(item.record.revision)[:12], decimal(item.size), loaded, str(item.folder))
    if found:
        console.print(table)
        if not any(item.downloaded for item in found):
            console.print("everything was here already: nothing to download")
