"""Processes that end with whoever started them, and how to know a process again after its number was given to another."""

import ctypes
import os
import signal
import sys
from pathlib import Path

from .environment import LEASH

_PARENT_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)


def dies_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when whoever started it dies: others would wait for a missing one for ever."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PARENT_DEATH, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)  # it died in between


def on_leash() -> None:
    """Save and stop when whoever started this is gone, if it has asked for that. What this starts looks after itself."""
    if os.environ.pop(LEASH, None):
        dies_with_parent(signal.SIGTERM)


def running_mark(pid: int) -> str:
    """What tells a process from another of the same number: the boot, and when in it the process began; empty where it is gone."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{boot}:{fields[19]}"


def runs_still(pid: int, mark: str) -> bool:
    """Whether the very process that had this mark is there. Without a mark: whether any of that number is."""
    if pid <= 0:
        return False
    if mark:
        return running_mark(pid) == mark
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
