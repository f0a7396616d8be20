"""Countdown: numbers, a target, and steps that lead to it."""

from dllm_run.specs.vocabulary.generators.countdown import Countdown

from ..noise import Stream
from . import Drawn, distinct, pair

_OPERATIONS = ("+", "-", "*", "/")


def build(word: Countdown) -> list[dict[str, str]]:
    """Rows with `prompt`, `response`, and both as `text`; every number is used once, and the last step gives the target."""
    return distinct(word.size, word.seed, word.word, lambda stream, try_: _row(word, stream, try_))


def _row(word: Countdown, stream: Stream, try_: int) -> dict[str, str] | None:
    draw = Drawn(stream, try_)
    given = [1 + draw.below(word.largest) for _ in range(word.numbers)]
    left, steps = list(given), []
    while len(left) > 1:
        first, second = left.pop(draw.below(len(left))), left.pop(draw.below(len(left)))
        sign = _OPERATIONS[draw.below(len(_OPERATIONS))]
        value = applied(first, sign, second)
        if value is None or value > word.largest**2:
            return None
        steps.append(f"{first}{sign}{second}={value}")
        left.append(value)
    return pair(f"{' '.join(map(str, given))} = {left[0]}: ", ", ".join(steps))


def applied(first: int, sign: str, second: int) -> int | None:
    """A step of the game; None where it leaves the whole numbers from 0 on."""
    if sign == "+":
        return first + second
    if sign == "-":
        return first - second if first >= second else None
    if sign == "*":
        return first * second
    return first // second if second and first % second == 0 else None
