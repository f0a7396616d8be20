"""Amounts of bytes, for people."""


def amount(size: int) -> str:
    """950 B, 1.5 kB, 16.1 GB."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} B"
