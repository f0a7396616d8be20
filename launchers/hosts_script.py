"""The script of a launcher over hosts, for whoever has the compiled tree alone."""

from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.over_hosts import OverHosts

from .template import fill


def hosts_script(plan: Plan, launcher: str) -> dict[str, str]:
    """`run.sh`: every stage in order, on hosts."""
    names, launches = plan.names, [stage.body.launch for stage in plan.stages.values() if isinstance(stage.body.launch, OverHosts)]
    stages = []
    for stage_id, stage in plan.stages.items():
        compute = stage.body.compute
        stages.append((stage_id, names[stage_id], compute.nodes, compute.world // compute.nodes))
    hosts = max(([host.name for host in launch.hosts] for launch in launches), key=len, default=[])
    port = next((launch.port for launch in launches), 0)
    return {"run.sh": fill("hosts.sh", {"name": plan.name, "stages": stages, "hosts": hosts, "port": port, "launcher": launcher})}
