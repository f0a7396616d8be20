"""The line between a model that answers and whoever asks: JSON objects, one a line."""

import json
import queue
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

Asked = dict[str, Any]
"""One thing that is asked."""


@dataclass(frozen=True, slots=True)
class Told:
    """The line to whoever asks."""

    out: TextIO

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell one thing at once."""
        self.out.write(json.dumps({"event": event, "time": round(time.time(), 3), **fields}, ensure_ascii=False) + "\n")
        self.out.flush()


@dataclass(slots=True)
class Waiting:
    """What was asked and not begun. A thread reads, so that a cancellation arrives while something is being filled."""

    _asked: "queue.SimpleQueue[Asked | None]" = field(default_factory=queue.SimpleQueue)
    _cancelled: set[int] = field(default_factory=set)
    _over: bool = False

    def read(self, lines: TextIO) -> None:
        """Take in lines until there are no more."""
        for line in lines:
            asked = json.loads(line)
            if asked["ask"] == "cancel":
                self._cancelled.add(asked["number"])
            else:
                self._asked.put(asked)
        # Who asked is gone: nobody reads what would still be told.
        self._over = True
        self._asked.put(None)

    def __iter__(self) -> Iterator[Asked]:
        """What is asked, as it comes."""
        while (asked := self._asked.get()) is not None:
            yield asked

    def is_cancelled(self, number: int) -> bool:
        """Whether nobody wants this any more."""
        return self._over or number in self._cancelled
