"""`python -m dllm_run.launchers.host FILE NUMBER`: the processes of a stage on this host; none of them stays, come what may."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from dllm_run.specs.store import read_json, write_atomic

from .fanout import ENVIRONMENT, Fanout
from .rank import DEAD, STOP

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_POLL_SECONDS = 0.2
_SAVING_SECONDS = 60
"""What processes get to save when whoever started them is gone."""


def main() -> int:
    """Exit code of what started the processes."""
    run, number = Fanout.load(Path(sys.argv[1])), int(sys.argv[2])
    folder = Path(run.folder)
    # torchrun puts processes into sessions of their own: orphans come to this process, and are found.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)
    given = read_json(folder / ENVIRONMENT) or {}
    child = subprocess.Popen(run.words(number), stdin=subprocess.DEVNULL, env={**os.environ, **given})
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: write_atomic(folder / DEAD, "a host was told to end\n"))
    until = 0.0
    while child.poll() is None:
        if not until and _cut_off():
            write_atomic(folder / STOP, "")
            until = time.monotonic() + _SAVING_SECONDS
        if (until and time.monotonic() > until) or _dead_for(folder) > 5:
            break
        time.sleep(_POLL_SECONDS)
    code = child.poll()
    _end_all()
    return code if code is not None else 1


def _cut_off() -> bool:
    """Whether the other end of standard input is gone."""
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def _dead_for(folder: Path) -> float:
    """Seconds since a process was lost; the others have seen it by then."""
    try:
        return time.time() - (folder / DEAD).stat().st_mtime
    except OSError:
        return 0.0


def _end_all() -> None:
    """Kill all that this process has started and all that they have, until nothing is left."""
    for _ in range(100):
        left = _descendants(os.getpid())
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        time.sleep(0.05)


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, rest = [], [pid]
    while rest:
        children = parents.get(rest.pop(), [])
        found += children
        rest += children
    return found


if __name__ == "__main__":
    sys.exit(main())
