"""Chains of additions, subtractions and multiplications."""

from dllm_run.specs.vocabulary.generators.arithmetic import Arithmetic

from ..noise import Stream
from . import Drawn, distinct, pair


def build(word: Arithmetic) -> list[dict[str, str]]:
    """Rows with `prompt` (`12+7*3=`), `response` (`33`), and both as `text`."""
    return distinct(word.size, word.seed, word.word, lambda stream, try_: _row(word, stream, try_))


def _row(word: Arithmetic, stream: Stream, try_: int) -> dict[str, str]:
    draw = Drawn(stream, try_)
    numbers = [draw.below(10 ** (1 + draw.below(word.digits))) for _ in range(word.terms)]
    signs = ["+-*"[draw.below(3)] for _ in numbers[1:]]
    text = str(numbers[0]) + "".join(f"{sign}{number}" for sign, number in zip(signs, numbers[1:], strict=True))
    return pair(f"{text}=", str(value(numbers, signs)))


def value(numbers: list[int], signs: list[str]) -> int:
    """The value of a chain: products first."""
    total, product = 0, numbers[0]
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            product *= number
        else:
            total, product = total + product, number if sign == "+" else -number
    return total + product
