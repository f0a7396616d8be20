"""New lines of a growing file of JSON objects."""

import json
from pathlib import Path
from typing import Any


class Tail:
    """Reads what was appended to `path` since the last call; remembers only how far it came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Objects of the complete new lines. A last line without its newline waits, a broken line is skipped, no file is no lines."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                fresh = file.read()
        except FileNotFoundError:
            return []
        complete = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(complete)
        values = [_value(line) for line in complete.split(b"\n")]
        return [value for value in values if isinstance(value, dict)]


def _value(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # bad JSON and bad UTF-8 are both ValueErrors
        return None
