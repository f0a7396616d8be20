"""When another try is in vain: three that ended in failure, and none of them brought the stage any further."""

from typing import Any

from dllm_run.specs.store import Entry

MOST = 3


def in_vain(entry: Entry, job: str) -> list[dict[str, Any]]:
    """The last attempts of one job that failed with no checkpoint newer than the one they began from, newest first."""
    newest = max((step for step, _ in entry.complete_checkpoints()), default=0)
    found = []
    for attempt in reversed(entry.attempts()):
        status = attempt.status()
        # What stopped because it was asked to has not failed; a status that says running is of a process that was killed.
        if status.get("job") != job or status.get("from", 0) < newest:
            break
        if status.get("state") in ("failed", "running"):
            found.append({**status, "log": str(status.get("log", attempt.log))})
    return found


def hopeless(entry: Entry, job: str) -> str | None:
    """The sentence that ends it, or None."""
    failed = in_vain(entry, job)
    if len(failed) < MOST:
        return None
    said = failed[0].get("message", "it was killed, and had no time to say why")
    return (
        f"{len(failed)} attempts failed at step {failed[0].get('from', 0)} without progress; the last one: {said}; log: {failed[0]['log']}"
    )
