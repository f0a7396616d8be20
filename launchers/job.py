"""One stage as a command line: how every launcher starts the runtime."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dllm_run.specs.vocabulary.compute import Compute

TREE, RUNS, BASE = "$DLLM_RUN_TREE", "$DLLM_RUN_RUNS", "$DLLM_RUN_BASE"
NODE, ADDRESS, PORT = "$DLLM_RUN_NODE", "$DLLM_RUN_ADDRESS", "$DLLM_RUN_PORT"
"""What stands in scripts for folders that only the machine knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the runtime is told."""

    plan: Path
    stage_id: str
    runs: Path
    base: Path
    processes: int
    """Of a stage on this node; one is started without any that waits for it."""

    def command(self) -> list[str]:
        """The command line of this stage on this machine."""
        return [sys.executable, *started(self.processes), str(self.plan), self.stage_id, "--runs", str(self.runs), "--base", str(self.base)]


def started(processes: int, nodes: Sequence[str] = ()) -> list[str]:
    """The words between Python and what the runtime is told; `nodes`: options of a stage on several nodes."""
    if processes == 1 and not nodes:
        return ["-m", "dllm_run.runtime"]
    return ["-m", "dllm_run.launchers.ranks", "-n", str(processes), *nodes]


def portable_command(stage_id: str, compute: Compute) -> list[str]:
    """The same for any machine: whoever runs it puts its own folders in place of the three names, and its node in those of several."""
    return ["python", *portable_start(compute), f"{TREE}/plan.json", stage_id, "--runs", RUNS, "--base", BASE]


def portable_start(compute: Compute) -> list[str]:
    """How a stage is started on each of its nodes."""
    where = ["--nodes", str(compute.nodes), "--node", NODE, "--address", ADDRESS, "--port", PORT] if compute.nodes > 1 else []
    return started(compute.world // compute.nodes, where)
