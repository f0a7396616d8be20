"""`python -m dllm_run.launchers.rank FOLDER PLAN STAGE …`: one process of a stage, started by torchrun or DeepSpeed on some host.

These kill what they started long before a checkpoint is written, or wait for processes that wait for a dead one. So each process has this
parent, and the folder, which all hosts see, has two marks: `stop` asks for a checkpoint, `dead` says that one is lost and all must end.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from dllm_run.specs.leash import dies_with_parent
from dllm_run.specs.store import Runs, write_atomic

from .ranks import STOPPED, blame

STOP, DEAD = "stop", "dead"
_POLL_SECONDS = 0.2


def main() -> int:
    """0 where the process is done or has stopped as asked, so that nobody takes the others for lost."""
    folder, plan, stage, *rest = sys.argv[1:]
    dies_with_parent(signal.SIGTERM)
    environment = dict(os.environ)
    # DeepSpeed has another name for it.
    environment.setdefault("LOCAL_WORLD_SIZE", environment.get("LOCAL_SIZE", "1"))
    process = subprocess.Popen([sys.executable, "-m", "dllm_run.runtime", plan, stage, *rest], env=environment)

    def forward(number: int, frame: FrameType | None) -> None:
        if process.poll() is None:
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, forward)
    return _watch(process, Path(folder), stage, rest)


def _watch(process: subprocess.Popen[bytes], folder: Path, stage: str, rest: list[str]) -> int:
    asked = False
    while (code := process.poll()) is None:
        if (folder / DEAD).exists():
            process.kill()
            process.wait()
            return 1
        if not asked and (folder / STOP).exists():
            asked = True
            process.send_signal(signal.SIGTERM)
        time.sleep(_POLL_SECONDS)
    if code in (0, *STOPPED):
        return 0
    attempts = Runs(Path(rest[rest.index("--runs") + 1])).entry(stage).attempts()
    if attempts and attempts[-1].status().get("state") in ("running", "failed"):
        blame(attempts[-1], int(os.environ["RANK"]), code)
    write_atomic(folder / DEAD, f"process {os.environ['RANK']} ended with {code}\n")
    return code if code > 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
