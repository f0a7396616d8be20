"""The status of a stage from what its last attempt wrote, and from whether that process still lives."""

import os
import platform

from dllm_run.specs.store import Entry


def status_of(entry: Entry) -> str:
    """`done`, `running`, `interrupted`, `failed` or `pending`."""
    if entry.done:
        return "done"
    attempts = entry.attempts()
    if not attempts:
        return "pending"
    last = attempts[-1].status()
    state = str(last.get("state", "pending"))
    if state == "done":
        return "pending"  # the result was taken away
    if state == "running" and last.get("host") == platform.node() and not _alive(int(last.get("pid", 0))):
        return "interrupted"
    return state


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
