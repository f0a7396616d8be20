"""A compiled spec with all that it reads on this machine: what is on a hub is downloaded before anything runs."""

from rich.console import Console

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.packages import missing_packages
from dllm_run.specs.store import Runs

from .diagnostics import show
from .fetch import write_lock
from .fetching import fetched, is_here, needs_of
from .specs import Named


def at_hand(named: Named, runs: Runs, console: Console, *, quiet: bool) -> Compiled:
    """The spec, compiled when its inputs are here. Raises EnvironmentProblem for what no download mends."""
    compiled = named.compile()
    _refuse(compiled)
    needs = [need for need in needs_of(compiled.plan, runs) if not is_here(need)]
    if needs:
        write_lock(named, compiled.plan, [item.record for item in fetched(needs, console, quiet=quiet)])
        # With their content known the stages have other ids.
        compiled = named.compile()
    show(compiled.warnings)
    plan = compiled.plan
    read = {locator for stage_id, stage in plan.stages.items() if not runs.entry(stage_id).done for locator in stage.inputs}
    # What only finished stages read need not be downloaded; a file that changed shall be told all the same.
    drift = named.lock.drift(record for locator, record in plan.inputs.items() if record.kind != "hub" or locator in read)
    missing = missing_packages(stage.body for stage_id, stage in plan.stages.items() if not runs.entry(stage_id).done)
    if missing:
        raise EnvironmentProblem("; ".join(missing))
    if drift:
        raise EnvironmentProblem("; ".join(drift) + f": `dllm-run lock {named.source.file} --update` accepts it")
    return compiled


def _refuse(compiled: Compiled) -> None:
    here = [record.locator for record in compiled.plan.inputs.values() if not record.resolved and record.kind != "hub"]
    if here:
        raise EnvironmentProblem(f"not on this machine: {', '.join(here)}")
