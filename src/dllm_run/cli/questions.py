"""Two evaluations question by question: the standard error of their difference, from the answers that both have kept."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Question = tuple[str, Any]
"""The task that a question is of, and its number there."""
_SAME = 1e-6
"""How far a mean may be from what the table says of it, relatively: tables keep single precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of one task in the file of all answers of an evaluation."""

    file: Path
    start: int
    stop: int


def error_by_question(left: Lines, right: Lines, key: tuple[str, int], values: tuple[float, float]) -> float | None:
    """Of the difference of two values of a metric, which both evaluations have asked of the same questions.

    None where answers are missing, where the questions are not the same ones, and where the metric is no sum over questions.
    """
    pair = _numbers(left, *key), _numbers(right, *key)
    if pair[0] is None or pair[1] is None or pair[0].keys() != pair[1].keys() or len(pair[0]) < 2:
        return None
    factors = [_factor(value, numbers) for value, numbers in zip(values, pair, strict=True) if numbers is not None]
    known = [factor for factor in factors if factor is not None]
    # Where all answers of one side are wrong its sum is 0 and says nothing of the factor.
    if not known or (len(known) == 2 and not math.isclose(known[0], known[1], rel_tol=_SAME)):
        return None
    if len(known) == 1 and any(values[side] for side in (0, 1) if factors[side] is None):
        return None
    differences = [pair[0][question] - pair[1][question] for question in pair[0]]
    mean = math.fsum(differences) / len(differences)
    spread = math.fsum((difference - mean) ** 2 for difference in differences) / (len(differences) - 1)
    return abs(known[0]) * math.sqrt(len(differences) * spread)


def _factor(value: float, numbers: Mapping[Question, float]) -> float | None:
    total = math.fsum(numbers.values())
    return value / total if total else None


def _numbers(lines: Lines, name: str, filtered: int) -> dict[Question, float] | None:
    """The number of each question, for the metric after the filter that comes so many-th; None where there is none."""
    if not lines.file.is_file():
        return None
    found: dict[str, dict[Question, float]] = {}
    for line in _read(lines):
        number = _number(line.get("scores", {}), name)
        if number is not None:
            found.setdefault(str(line.get("filter", "none")), {})[line["task"], line["doc_id"]] = number
    return list(found.values())[filtered] if filtered < len(found) else None


def _read(lines: Lines) -> Iterator[dict[str, Any]]:
    with lines.file.open(encoding="utf-8") as stream:
        for index, line in enumerate(stream):
            if index >= lines.stop:
                return
            if index >= lines.start:
                yield json.loads(line)


def _number(scores: Mapping[str, Any], name: str) -> float | None:
    """What a question adds to a metric; a pair is a sum and its weight, and all evaluations of one question have one weight."""
    # A table of ours may call the only score of its task by another name.
    only = next(iter(scores.values())) if len(scores) == 1 else None
    value = scores.get(name, scores.get(name.replace(" ", "_"), only))
    if isinstance(value, list) and len(value) == 2:
        value = value[0]
    return float(value) if isinstance(value, bool | int | float) else None
