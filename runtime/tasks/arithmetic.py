"""Sums, differences and products: the held-out ones, or such as are drawn by the seed."""

import re

from dllm_run.specs.vocabulary.tasks.arithmetic import Arithmetic

from ..made_up import EXAMPLES, asked, held_out
from ..noise import Stream
from . import BuiltTask, Setting

_SIGNS = ("+", "-", "*")


def build(word: Arithmetic, setting: Setting) -> BuiltTask:
    """The rows that training did not see, or questions with numbers from 1 to 99; the answer is the first whole number that is written."""
    if setting.rows:
        meaning = "held-out chains whose answer begins with the right number"
        return held_out(
            word.word, setting.rows, "=", right=lambda doc, answer: _first(answer) == _first(doc["answer"]), name="right", meaning=meaning
        )
    stream = Stream(setting.seed, "arithmetic")
    docs = [_doc(stream, index) for index in range(EXAMPLES + word.questions)]
    meaning = "questions whose answer begins with the right number"
    return asked(word.word, docs, right=lambda doc, answer: _first(answer) == int(doc["answer"]), name="right", meaning=meaning)


def _doc(stream: Stream, index: int) -> dict[str, str]:
    left, right = (1 + stream.integer(index, place) % 99 for place in range(2))
    sign = _SIGNS[stream.integer(index, 2) % len(_SIGNS)]
    value = {"+": left + right, "-": left - right, "*": left * right}[sign]
    return {"question": f"Question: What is {left} {sign} {right}?\nAnswer:", "answer": str(value)}


def _same(doc: dict[str, str], answer: str) -> bool:
    return _first(answer) == _first(doc["answer"])


def _first(answer: str) -> int | None:
    found = re.search(r"-?\d+", answer.replace(",", ""))
    return None if found is None else int(found.group())
