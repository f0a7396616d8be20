"""Amounts as Slurm writes them, in seconds and bytes."""

_MEMORY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def slurm_seconds(text: str) -> int | None:
    """Seconds of a time limit: minutes[:seconds], hours:minutes:seconds, or days-hours[:minutes[:seconds]]; None for 0, no limit."""
    days, dash, rest = text.rpartition("-")
    numbers = [int(part) for part in rest.split(":")]
    if not dash and len(numbers) < 3:
        numbers.insert(0, 0)
    hours, minutes, seconds = [*numbers, 0, 0][:3]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds or None


def slurm_time(seconds: float) -> str:
    """A time limit of at least so many seconds, in whole hours."""
    days, hours = divmod(-int(-seconds // 3600), 24)
    return f"{days}-{hours:02}:00:00" if days else f"{hours:02}:00:00"


def slurm_bytes(text: str) -> int | None:
    """Bytes of a memory limit, in megabytes where no unit follows; None for 0, all of the node."""
    unit = text[-1] if text[-1] in _MEMORY else "M"
    return int(text.rstrip("KMGT")) * _MEMORY[unit] or None
