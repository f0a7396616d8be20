"""Values of a sweep drawn at random: each a function of seed, path and number of the draw, so that other paths change nothing."""

import hashlib
import math
from typing import Any

from dllm_run.specs.errors import Diagnostic, SpecError

from .node import Node

_DIGITS = 4
"""Significant digits of a drawn number: what a name can show, and more than a result depends on."""


def drawn(random: Node) -> tuple[tuple[str, ...], list[tuple[Node, ...]]]:
    """The paths of `sweep.random` and the values of every draw. Raises SpecError for ranges that are not right."""
    samples, seed, values = random.get(("samples",)), random.get(("seed",)), random.get(("values",))
    assert samples is not None and values is not None and isinstance(samples.value, int) and isinstance(values.value, dict)
    found = [item for path, node in values.value.items() if (item := _misfit(path, node)) is not None]
    if found:
        raise SpecError(found)
    root = seed.value if seed is not None else 0
    rows = [
        tuple(_draw(node, _uniform(f"{root}/{path}/{number}")) for path, node in values.value.items()) for number in range(samples.value)
    ]
    return tuple(values.value), rows


def _uniform(key: str) -> float:
    """In (0, 1)."""
    whole = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6])
    return (whole + 0.5) / 2**48


def _draw(node: Node, uniform: float) -> Node:
    value: Any = node.value
    if isinstance(value, list):
        chosen = value[int(uniform * len(value))]
        return Node(chosen.value, chosen.mark, node.key_mark)
    low, high = value["low"].value, value["high"].value
    logarithmic = "log" in value and value["log"].value
    if isinstance(low, int) and isinstance(high, int):
        if logarithmic:
            return Node(min(high, int(low * ((high + 1) / low) ** uniform)), node.mark, node.key_mark)
        return Node(low + int(uniform * (high - low + 1)), node.mark, node.key_mark)
    real = low * (high / low) ** uniform if logarithmic else low + uniform * (high - low)
    return Node(float(f"{real:.{_DIGITS}g}"), node.mark, node.key_mark)


def _misfit(path: str, node: Node) -> Diagnostic | None:
    where = f"sweep.random.values.{path}"
    if isinstance(node.value, list) and node.value:
        return None
    form = "{low: 1e-5, high: 1e-3, log: true}, or a list to choose from"
    if not isinstance(node.value, dict):
        return Diagnostic(code="E127", message=f"{path} has no range", path=where, mark=node.mark, label=form)
    for key, child in node.value.items():
        if key not in ("low", "high", "log"):
            mark = child.key_mark or child.mark
            return Diagnostic(code="E127", message=f"{key!r} is no part of a range", path=f"{where}.{key}", mark=mark, label=form)
    if not all(key in node.value and _is_number(node.value[key].value) for key in ("low", "high")):
        return Diagnostic(code="E127", message=f"{path} needs two numbers, low and high", path=where, mark=node.mark, label=form)
    log = node.value.get("log")
    if log is not None and not isinstance(log.value, bool):
        return Diagnostic(code="E127", message="log is true or false", path=f"{where}.log", mark=log.mark)
    low, high = node.value["low"], node.value["high"]
    bottom: Any = low.value
    if not bottom < high.value:
        text = f"{low.value} is not below {high.value}"
        return Diagnostic(code="E127", message=text, path=f"{where}.low", mark=low.mark, related=((high.mark, "high"),))
    if log is not None and log.value and bottom <= 0:
        return Diagnostic(code="E127", message=f"{low.value} has no logarithm", path=f"{where}.low", mark=low.mark, label="above 0")
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
