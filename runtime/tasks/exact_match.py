"""Held-out prompts, answered by the sampler and compared with their responses."""

from dllm_run.specs.vocabulary.tasks.exact_match import ExactMatch

from ..made_up import held_out
from . import BuiltTask, Setting


def build(word: ExactMatch, setting: Setting) -> BuiltTask:
    """A question for each held-out pair."""
    meaning = "held-out prompts that were answered with just the response that stands in the data"
    return held_out(word.word, setting.rows, "", right=_same, name="right", meaning=meaning)


def _same(doc: dict[str, str], answer: str) -> bool:
    return answer.strip() == doc["answer"].strip()
