"""Countdown puzzles, held out or drawn by the seed, checked by arithmetic: no term is ever handed to an interpreter."""

import ast
import re
from collections import Counter
from fractions import Fraction

from dllm_run.specs.vocabulary.tasks.countdown import Countdown

from ..failure import Failure
from ..generators.countdown import applied
from ..made_up import EXAMPLES, asked, held_out
from ..noise import Stream
from . import BuiltTask, Setting

_PUZZLE = re.compile(r"(\d+(?: \d+)*) = (\d+): ")
_STEP = re.compile(r"(\d{1,9})([-+*/])(\d{1,9})=(\d{1,9})")
_MOST = 200
"""Letters of a term that is looked at."""


def build(word: Countdown, setting: Setting) -> BuiltTask:
    """Puzzles that have a solution, since each is made from one. Raises Failure for held-out rows that are none."""
    if setting.rows:
        meaning = "held-out puzzles whose steps are legal, use every number and end at the target"
        for_all = held_out(word.word, setting.rows, ": ", right=_reached, name="solved", meaning=meaning)
        for doc in for_all.config["custom_dataset"]()["test"]:
            _puzzle(doc["question"])
        return for_all
    stream = Stream(setting.seed, "countdown")
    docs = [_doc(stream, index) for index in range(EXAMPLES + word.questions)]
    meaning = "puzzles whose answer uses every number once and gives the target"
    return asked(word.word, docs, right=lambda doc, answer: solves(answer, doc["numbers"], doc["target"]), name="solved", meaning=meaning)


def _doc(stream: Stream, index: int) -> dict[str, str]:
    draw = 0
    while True:
        # Until the target has two digits: a draw of its own for every number and sign.
        count = 3 + stream.integer(index, draw, 0) % 2
        numbers = [1 + stream.integer(index, draw, 1, place) % 99 for place in range(count)]
        signs = ["+-*"[stream.integer(index, draw, 2, place) % 3] for place in range(count - 1)]
        term = str(numbers[0]) + "".join(f" {sign} {number}" for sign, number in zip(signs, numbers[1:], strict=True))
        value = value_of(term)
        if value is not None and 10 <= value <= 99:
            break
        draw += 1
    shown = " ".join(map(str, sorted(numbers)))
    question = f"Question: Use each of the numbers {shown} once, with + - * / and brackets, to make {value}.\nAnswer:"
    return {"question": question, "answer": term, "numbers": shown, "target": str(value)}


def _reached(doc: dict[str, str], answer: str) -> bool:
    return reaches(answer, *_puzzle(doc["question"]))


def _puzzle(question: str) -> tuple[list[int], int]:
    found = _PUZZLE.fullmatch(question)
    if found is None:
        raise Failure(f"task countdown reads rows of generator countdown, such as '3 5 8 = 64: ', and a held-out one is {question[:60]!r}")
    return [int(number) for number in found[1].split()], int(found[2])


def reaches(answer: str, given: list[int], target: int) -> bool:
    """Whether steps such as `3+5=8, 8*8=64` take what is there, are right, use every number and end at the target."""
    left = list(given)
    for step in answer.strip().split(", "):
        found = _STEP.fullmatch(step)
        if found is None:
            return False
        first, sign, second, value = int(found[1]), found[2], int(found[3]), int(found[4])
        for number in (first, second):
            if number not in left:
                return False
            left.remove(number)
        if applied(first, sign, second) != value:
            return False
        left.append(value)
    return left == [target]


def solves(answer: str, numbers: str, target: str) -> bool:
    """Whether the first line of an answer, up to an equals sign, uses every number once and gives the target."""
    term = (answer.strip().splitlines() or [""])[0].partition("=")[0].strip()
    found = _tree(term)
    if found is None or Counter(str(node.value) for node in ast.walk(found) if isinstance(node, ast.Constant)) != Counter(numbers.split()):
        return False
    return value_of(term) == Fraction(target)


def value_of(term: str) -> Fraction | None:
    """The value of a term of whole numbers, + - * / and brackets; None for anything else."""
    tree = _tree(term)
    try:
        return None if tree is None else _value(tree)
    except ZeroDivisionError:
        return None


def _tree(term: str) -> ast.expr | None:
    if len(term) > _MOST or set(term) - set("0123456789+-*/() "):
        return None
    try:
        return ast.parse(term, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Fraction | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Fraction(node.value)
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _value(node.left), _value(node.right)
    if left is None or right is None:
        return None
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case _:
            return None
