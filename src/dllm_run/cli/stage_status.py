"""The status of a stage from what its last attempt wrote, and from whether that process still lives."""

import platform
from typing import Any

from dllm_run.specs.leash import runs_still
from dllm_run.specs.store import Entry


def status_of(entry: Entry) -> str:
    """`done`, `running`, `interrupted`, `failed` or `pending`."""
    if entry.done:
        return "done"
    attempts = entry.attempts()
    return told_status(attempts[-1].status()) if attempts else "pending"


def told_status(last: dict[str, Any]) -> str:
    """The same, of a stage without result, from the status of its last attempt."""
    state = str(last.get("state", "pending"))
    if state == "done":
        return "pending"  # the result was taken away
    gone = last.get("host") == platform.node() and not runs_still(int(last.get("pid", 0)), str(last.get("mark", "")))
    return "interrupted" if state == "running" and gone else state
