"""One stage as a command line: how every launcher starts the runtime."""

import sys
from dataclasses import dataclass
from pathlib import Path

TREE, RUNS, BASE = "$DLLM_RUN_TREE", "$DLLM_RUN_RUNS", "$DLLM_RUN_BASE"
"""What stands in scripts for folders that only the machine knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the runtime is told."""

    plan: Path
    stage_id: str
    runs: Path
    base: Path

    def command(self) -> list[str]:
        """The command line of this stage on this machine."""
        return command(sys.executable, str(self.plan), self.stage_id, str(self.runs), str(self.base))


def command(python: str, plan: str, stage_id: str, runs: str, base: str) -> list[str]:
    """The command line of a stage, word by word."""
    return [python, "-m", "dllm_run.runtime", plan, stage_id, "--runs", runs, "--base", base]


def portable_command(stage_id: str) -> list[str]:
    """The same for any machine: whoever runs it puts its own folders in place of the three names."""
    return command("python", f"{TREE}/plan.json", stage_id, RUNS, BASE)
