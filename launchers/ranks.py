"""`python -m dllm_run.launchers.ranks -n N PLAN STAGE …`: a stage in N processes on this node. One that fails takes the others along.

torchrun starts its processes in sessions of their own, which a signal to a job does not reach, and kills them thirty seconds after it got
a signal itself: too early for the checkpoint of a large model, too late where a process waits for one that is dead. This waits for a
checkpoint as long as it takes, ends all processes as soon as one is lost, and leaves nothing behind.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dllm_run.specs.environment import JOB
from dllm_run.specs.leash import on_leash
from dllm_run.specs.store import Attempt, Entry, Runs

_POLL_SECONDS = 0.02
_LOCAL = "127.0.0.1"
PREEMPTED, INTERRUPTED = 75, 130
"""Exit codes of what stopped because it was asked to."""
STOPPED = (PREEMPTED, INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The processes of a stage on this node, and where all of its processes meet."""

    processes: int
    """On this node."""
    nodes: int = 1
    node: int = 0
    address: str = _LOCAL
    port: int = 0
    """0: any that is free."""


def main() -> int:
    """Exit code of the stage: 0 where every process ended with 0, else that of the one which failed first."""
    arguments = _parser().parse_args()
    where = Where(processes=arguments.processes, nodes=arguments.nodes, node=arguments.node, address=arguments.address, port=arguments.port)
    on_leash()
    ranks = Ranks(plan=arguments.plan, stage=arguments.stage, runs=arguments.runs, base=arguments.base, where=where)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, ranks.forward)
    return ranks.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dllm_run.launchers.ranks", description=__doc__)
    parser.add_argument("-n", "--processes", type=int, required=True, help="processes on this node")
    parser.add_argument("--nodes", type=int, default=1, help="nodes that do the same (default: 1)")
    parser.add_argument("--node", type=int, default=0, help="which of them this is, from 0 (default: 0)")
    parser.add_argument("--address", default=_LOCAL, help=f"of node 0 (default: {_LOCAL})")
    parser.add_argument("--port", type=int, default=0, help="where processes meet on node 0; 0: any that is free")
    parser.add_argument("plan")
    parser.add_argument("stage")
    parser.add_argument("--runs", required=True)
    parser.add_argument("--base", required=True)
    return parser


class Ranks:
    """The processes of this node."""

    def __init__(self, *, plan: str, stage: str, runs: str, base: str, where: Where) -> None:
        self.entry = Runs(Path(runs)).entry(stage)
        self.known = len(self.entry.attempts())
        common = {
            "WORLD_SIZE": str(where.processes * where.nodes),
            "LOCAL_WORLD_SIZE": str(where.processes),
            "MASTER_ADDR": where.address,
            "MASTER_PORT": str(where.port or _free_port()),
        }
        # What another launcher has left would lead the processes to its own store.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")}
        command = [sys.executable, "-m", "dllm_run.runtime", plan, stage, "--runs", runs, "--base", base]
        self.first = where.node * where.processes
        self.processes = [
            subprocess.Popen(command, env={**inherited, **common, "RANK": str(self.first + local), "LOCAL_RANK": str(local)})
            for local in range(where.processes)
        ]

    def forward(self, number: int, frame: FrameType | None) -> None:
        """A signal to this process is meant for all of them."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def run(self) -> int:
        """Wait for the end; the exit code of the stage."""
        failed = self.wait()
        if failed is None:
            return max(process.returncode for process in self.processes)
        _tell(self.entry, self.known, *failed)
        return failed[1] if failed[1] > 0 else 128 - failed[1]

    def wait(self) -> tuple[int, int] | None:
        """Rank and exit code of the process that failed first, once all have ended; None where none did."""
        try:
            while True:
                codes = [process.poll() for process in self.processes]
                failed = [(rank, code) for rank, code in enumerate(codes, self.first) if code not in (None, 0, *STOPPED)]
                if failed:
                    # One that was killed had no time to say so; the others may have noticed within the same moment.
                    return min(((rank, code) for rank, code in failed if code is not None), key=lambda found: (found[1] > 0, found[0]))
                if None not in codes:
                    return None
                time.sleep(_POLL_SECONDS)
        finally:
            self._end()

    def _end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((_LOCAL, 0))
        port: int = found.getsockname()[1]
        return port


def _tell(entry: Entry, known: int, rank: int, code: int) -> None:
    """Write down whose fault it was: the process that owns the status may be the one that is dead."""
    attempts = entry.attempts()
    # Of several nodes this one may have begun when the first had made the attempt already.
    job = os.environ.get(JOB)
    mine = attempts[known:] or [attempt for attempt in attempts[-1:] if job is not None and attempt.status().get("job") == job]
    if mine:
        blame(mine[-1], rank, code)


def blame(attempt: Attempt, rank: int, code: int) -> None:
    """A process of an attempt has ended with a code, negative for a signal: write down what it, or one before it, died of."""
    if code < 0:
        attempt.write_failure(rank, f"was killed by signal {-code}", told=False, killed=True)
    first = next(iter(attempt.failures()), None)
    status = attempt.status()
    if first is None and status.get("state") == "failed":
        return  # the only process has said it
    found = first or {"rank": rank, "message": f"ended with exit code {code}", "told": False}
    rank, said = int(found["rank"]), str(found["message"])
    message = f"process {rank} {said}" if first is None or found.get("killed") else said if rank == 0 else f"process {rank}: {said}"
    attempt.write_status(
        {**status, "state": "failed", "message": message, "log": str(attempt.log_of(rank)), "told": bool(found.get("told"))}
    )


if __name__ == "__main__":
    sys.exit(main())
