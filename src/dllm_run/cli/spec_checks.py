"""What a spec needs of this machine, and of those that it names."""

import os
import subprocess
import sys
from collections.abc import Iterator

from dllm_run.launchers.places import chosen, hosts_of, unreachable
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.launchers.slurm import Slurm
from dllm_run.specs.vocabulary.over_hosts import OverHosts

from .checks import Check, note, ok, problem
from .fetching import is_here, needs_of
from .running import gpus
from .specs import Named


def of_spec(named: Named, plan: Plan, runs: Runs) -> Iterator[Check]:
    """Inputs, devices, partitions, hosts."""
    yield _inputs(named, plan, runs)
    launches = [stage.body.launch for stage in plan.stages.values()]
    yield from _devices(plan)
    yield from _partitions([launch for launch in launches if isinstance(launch, Slurm)])
    over_hosts = {repr((stage.body.launch, stage.body.compute)): stage.body for stage in plan.stages.values()}
    for body in over_hosts.values():
        if isinstance(body.launch, OverHosts) and body.parallel:
            yield _hosts(named, body.launch, body.compute.nodes, body.compute.world)


def _inputs(named: Named, plan: Plan, runs: Runs) -> Check:
    away = [need.locator for need in needs_of(plan, runs) if not is_here(need)]
    lost = [record.locator for record in plan.inputs.values() if record.kind != "hub" and not record.resolved]
    if lost:
        return problem("inputs", f"not on this machine: {', '.join(lost)}", "put them there, or install the package")
    if away:
        return note("inputs", f"not downloaded yet: {', '.join(away)}", f"`dllm-run fetch {named.source.file}`")
    return ok("inputs", f"{len(plan.inputs)} inputs are here")


def _devices(plan: Plan) -> Iterator[Check]:
    wanted = max(
        (stage.body.compute.world for stage in plan.stages.values() if stage.body.compute.device == "cuda" and stage.body.launch.here),
        default=0,
    )
    if wanted:
        have = len(gpus())
        cure = "-s compute.device=cpu -s compute.gpus_per_node=0, or another launcher"
        found = f"stages take {wanted} GPUs, {have} are here"
        yield ok("devices", found) if have >= wanted else problem("devices", found, cure)


def _partitions(launches: list[Slurm]) -> Iterator[Check]:
    wanted = sorted({name for launch in launches if launch.partition is not None for name in launch.partition.split(",")})
    if not wanted:
        return
    try:
        done = subprocess.run(["sinfo", "--noheader", "--format=%R"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        yield problem("partitions", "Slurm is not on this machine", "submit from a login node of the cluster")
        return
    known = set(done.stdout.split())
    missing = [name for name in wanted if name not in known]
    if missing:
        cure = f"there are {', '.join(sorted(known))}: -s launch.partition=…"
        yield problem("partitions", f"no partition {', '.join(missing)}", cure)
    else:
        yield ok("partitions", ", ".join(wanted))


def _hosts(named: Named, launch: OverHosts, nodes: int, world: int) -> Check:
    try:
        hosts = chosen(hosts_of(launch, named.base, os.environ), nodes, world // nodes)
    except EnvironmentProblem as error:
        return problem("hosts", str(error), "`hosts`, `hostfile`, or an allocation around this command")
    wrong = unreachable(hosts, launch.ssh, f"test -x {sys.executable}")
    if wrong:
        cure = "ssh must get there without a question (keys, `ssh: [-p, …]`), and find the same Python at the same place"
        return problem("hosts", "; ".join(wrong), cure)
    return ok("hosts", f"ssh reaches {', '.join(host.name for host in hosts)}")
