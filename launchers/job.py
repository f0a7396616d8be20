"""One stage as a command line: how every launcher starts the runtime."""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the runtime is told."""

    plan: Path
    stage_id: str
    runs: Path
    base: Path

    def command(self) -> list[str]:
        """The command line of this stage on this machine."""
        module = [sys.executable, "-m", "dllm_run.runtime"]
        return [*module, str(self.plan), self.stage_id, "--runs", str(self.runs), "--base", str(self.base)]
