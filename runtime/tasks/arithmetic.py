"""Sums, differences and products, drawn by the seed."""

import re

from dllm_run.specs.vocabulary.tasks.arithmetic import Arithmetic

from ..made_up import EXAMPLES, asked
from ..noise import Stream
from . import BuiltTask, Setting

_SIGNS = ("+", "-", "*")


def build(word: Arithmetic, setting: Setting) -> BuiltTask:
    """Questions with numbers from 1 to 99; the answer is the first whole number that is written."""
    stream = Stream(setting.seed, "arithmetic")
    docs = [_doc(stream, index) for index in range(EXAMPLES + word.questions)]
    meaning = "questions whose answer begins with the right number"
    return asked(word.word, docs, right=lambda doc, answer: _first(answer) == int(doc["answer"]), name="right", meaning=meaning)


def _doc(stream: Stream, index: int) -> dict[str, str]:
    left, right = (1 + stream.integer(index, place) % 99 for place in range(2))
    sign = _SIGNS[stream.integer(index, 2) % len(_SIGNS)]
    value = {"+": left + right, "-": left - right, "*": left * right}[sign]
    return {"question": f"Question: What is {left} {sign} {right}?\nAnswer:", "answer": str(value)}


def _first(answer: str) -> int | None:
    found = re.search(r"-?\d+", answer.replace(",", ""))
    return None if found is None else int(found.group())
