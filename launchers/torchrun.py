"""torchrun on hosts: `fanout.py` starts a stage there, and a run that goes on without the terminal is one of this machine's."""

from dllm_run.specs.plan import Plan

from .hosts_script import hosts_script
from .local import cancel, state, submit

__all__ = ["cancel", "render", "state", "submit"]


def render(plan: Plan) -> dict[str, str]:
    """`run.sh`: every stage in order, on hosts that ssh reaches."""
    return hosts_script(plan, "torchrun")
