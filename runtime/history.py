"""The numbers of a training over all its attempts: what later attempts did again replaces what earlier ones wrote."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm_run.specs.store import Entry


@dataclass(frozen=True, slots=True)
class History:
    """Pairs of step and value, by step."""

    train: list[tuple[int, float]]
    held_out: list[tuple[int, float]]
    learning_rate: list[tuple[int, float]]


def history(entry: Entry, measure: str = "bound") -> History:
    """Read the metrics of every attempt; `measure` is the key of what is told of the held-out rows."""
    train: dict[int, float] = {}
    held_out: dict[int, float] = {}
    learning_rate: dict[int, float] = {}
    for attempt in entry.attempts():
        for line in _lines(attempt.metrics):
            if "loss" in line:
                train[line["step"]] = line["loss"]
            if "learning_rate" in line:
                learning_rate[line["step"]] = line["learning_rate"]
            if measure in line:
                held_out[line["step"]] = line[measure]
    return History(sorted(train.items()), sorted(held_out.items()), sorted(learning_rate.items()))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            continue  # the last line of an attempt that was killed while it wrote
