"""What a process of the runtime does before torch is loaded: threads, environment, and where everything that is printed goes."""

import os
import sys
from pathlib import Path

from dllm_run.specs.environment import ALWAYS, UNLESS_GIVEN
from dllm_run.specs.store import Entry
from dllm_run.specs.vocabulary.compute import Compute


def threads_of(compute: Compute, entry: Entry, *, asked: int = 0, local_size: int = 1) -> int:
    """CPU threads. The same bits need the same number, so that a run that continues has that of its last attempt."""
    earlier = (attempt.status().get("threads") for attempt in reversed(entry.attempts()))
    known = next((threads for threads in earlier if threads), None)
    cores = max(1, len(os.sched_getaffinity(0)) // local_size)
    found: int = asked or compute.threads or known or cores
    return found


def set_environment(threads: int) -> None:
    """The threads are read when torch is loaded, so they are set before."""
    os.environ.update({**ALWAYS, "OMP_NUM_THREADS": str(threads)})
    for name, value in UNLESS_GIVEN.items():
        os.environ.setdefault(name, value)


def redirect(log: Path) -> None:
    """From here on everything, also what libraries print from C, goes to the log."""
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
