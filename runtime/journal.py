"""Answers that are kept as they come: an append-only file of each process, so that a run that was killed goes on where it stood."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATTERN = "answers-*.jsonl"


def alone() -> None:
    """Nobody to wait for."""


@dataclass(slots=True)
class Journal:
    """What the processes of one evaluation have answered so far, by key. A line holds what one forward pass has answered."""

    folder: Path | None
    """None: answers are kept in memory alone."""
    rank: int = 0
    size: int = 1
    wait: Callable[[], None] = alone
    """Returns when every process has called it."""
    _known: dict[str, Any] = field(default_factory=dict)

    def open(self) -> "Journal":
        """Read what there is, of all processes and of any number of them; a line that was torn by a kill is forgotten."""
        own = self._own()
        if own is not None and own.is_file():
            data = own.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if whole != data:
                own.write_bytes(whole)
        # Nobody reads a file that its owner may still be mending.
        self.wait()
        self._read()
        return self

    def _own(self) -> Path | None:
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"answers-{self.rank:05d}.jsonl"

    def has(self, keys: Iterable[str]) -> bool:
        """Whether all of these are answered."""
        return all(key in self._known for key in keys)

    def __getitem__(self, key: str) -> Any:
        return self._known[key]

    def add(self, answers: Mapping[str, Any]) -> None:
        """Keep answers, on disk before anything else is computed."""
        self._known.update(answers)
        own = self._own()
        if own is not None:
            with own.open("ab") as stream:
                stream.write(json.dumps(answers, ensure_ascii=False).encode() + b"\n")

    def mine(self, index: int) -> bool:
        """Whether this process computes the piece of work with this number: they are dealt out in turn."""
        return index % self.size == self.rank

    def gather(self) -> None:
        """Know what all processes have answered."""
        if self.size > 1:
            self.wait()
            self._read()

    def _read(self) -> None:
        for path in sorted(self.folder.glob(PATTERN)) if self.folder is not None else ():
            for line in path.read_bytes().split(b"\n")[:-1]:
                self._known.update(json.loads(line))
