"""Lists of nodes as Slurm writes them: read here, since in a container there may be no scontrol to ask."""

import re


def node_names(text: str) -> list[str]:
    """The nodes of `a,b[1-3,07-08]x`, in order."""
    found: list[str] = []
    for part in re.findall(r"[^,\[]*(?:\[[^\]]*\][^,\[]*)*", text):
        if not part:
            continue
        names = [""]
        for plain, ranges in re.findall(r"([^\[]+)|\[([^\]]*)\]", part):
            ends = [plain] if plain else [number for item in ranges.split(",") for number in _numbers(item)]
            names = [name + end for name in names for end in ends]
        found.extend(names)
    return found


def _numbers(text: str) -> list[str]:
    low, _, high = text.partition("-")
    return [str(number).zfill(len(low)) for number in range(int(low), int(high or low) + 1)]
