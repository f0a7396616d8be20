"""How fast something goes, and how long it still takes, from how far it was at which time."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Progress in one unit. The rate counts from the first time on, so that what was done before is not in it."""

    unit: str = ""
    done: int = 0
    total: int = 0
    _first: tuple[float, int] = (0.0, 0)
    _last: float = 0.0

    def update(self, unit: str, done: int, total: int, time: float) -> bool:
        """Take in how far it is; True where another unit, or less that is done, is the beginning of other work."""
        fresh = unit != self.unit or done < self.done
        self.unit, self.done, self.total, self._last = unit, done, total, time
        if fresh:
            self._first = (time, done)
        return fresh

    @property
    def rate(self) -> float | None:
        """Units a second, None until two times tell."""
        seconds, count = self._last - self._first[0], self.done - self._first[1]
        return count / seconds if seconds > 0 and count > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far."""
        return None if self.rate is None else (self.total - self.done) / self.rate
