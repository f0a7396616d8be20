"""Rows between being read and being tokenised: on disk, since nobody knows how many there are; in memory only what tells them apart."""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from .prepare import key_of
from .sources import Found, Row


class Spool:
    """A file of rows that can be read again by number; it is gone when it is closed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.keys: list[bytes] = []
        """What rows of equal content share."""
        self.sources = array("l")
        """The source of each."""
        self._offsets = array("q")
        self.size = 0
        """Bytes of all of them."""
        self._stream = path.open("w+b")

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, found: Found) -> None:
        """One more row."""
        line = json.dumps(found.row, ensure_ascii=False).encode() + b"\n"
        self.keys.append(key_of(found.row))
        self.sources.append(found.source)
        self._offsets.append(self.size)
        self._stream.write(line)
        self.size += len(line)

    def rows(self, indices: list[int]) -> Iterator[Row]:
        """These rows, in this order."""
        self._stream.flush()
        with self.path.open("rb") as stream:
            at = 0
            for index in indices:
                if self._offsets[index] != at:
                    stream.seek(self._offsets[index])
                line = stream.readline()
                at = self._offsets[index] + len(line)
                yield json.loads(line)
