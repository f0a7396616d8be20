"""Best fit: which texts share a sequence, by their lengths alone."""

from collections.abc import Sequence


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Bins of indices: the longest text first, each into the fullest bin that has room for it.

    Of equal ones the first comes first, so that the bins depend on nothing else. Bins are told in the order of their first index, and
    indices in theirs. No length may exceed the capacity.
    """
    bins: list[list[int]] = []
    # Bins by the room that is left, and a bit for every room that any bin has: the least room that is enough is one shift away.
    by_room: dict[int, list[int]] = {}
    rooms = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        enough = rooms >> length
        if enough:
            room = length + (enough & -enough).bit_length() - 1
            chosen = by_room[room].pop()
            if not by_room[room]:
                rooms &= ~(1 << room)
        else:
            room, chosen = capacity, len(bins)
            bins.append([])
        bins[chosen].append(index)
        left = room - length
        if left:
            by_room.setdefault(left, []).append(chosen)
            rooms |= 1 << left
    return sorted((sorted(found) for found in bins), key=lambda found: found[0])
