"""Held-out text in bits per byte, beside baselines on the same text."""

from typing import Any

from datasets import Dataset

from dllm_run.specs.vocabulary.tasks.held_out_text import HeldOutText

from ..baselines import gzipped, trigram, unigram
from ..prepared import TRAIN, Split
from . import BuiltTask, Setting, TableRow

_ENOUGH = 4_000_000
"""Bytes of training text that baselines read: beyond it their numbers stand still."""


def build(word: HeldOutText, setting: Setting) -> BuiltTask:
    """lm-eval's rolling likelihood over the held-out rows."""
    texts = [row["text"] if "text" in row else row["prompt"] + row["response"] for row in setting.rows]
    return BuiltTask(
        config={
            "task": word.word,
            "custom_dataset": lambda **_: {"test": Dataset.from_dict({"text": texts})},
            "test_split": "test",
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}],
        },
        table=lambda results: _table(results, texts, setting),
    )


def _table(results: dict[str, Any], texts: list[str], setting: Setting) -> list[TableRow]:
    train, test = _training_text(setting), "".join(texts).encode()
    unit = "bits per byte"
    baselines = [
        ("byte unigram", unigram(train, test), "each byte by how often it occurs, whatever stands beside it"),
        ("byte trigram", trigram(train, test), "each byte by the two before it, counted in the training text"),
        ("gzip -9", gzipped(train, test), "what gzip adds for this text once it has seen the end of the training text"),
    ]
    bound = TableRow(
        name="this model",
        value=results["bits_per_byte,none"],
        unit=unit,
        meaning="upper bound on what the model needs for text it never saw; below a baseline means it knows more than that",
    )
    return [bound, *(TableRow(name=name, value=value, unit=unit, meaning=meaning) for name, value, meaning in baselines)]


def _training_text(setting: Setting) -> bytes:
    split, out = Split.open(setting.data, TRAIN), bytearray()
    for index in range(len(split)):
        out += setting.tokens.decode(split.sequence(index)[0]).encode()
        if len(out) >= _ENOUGH:
            break
    return bytes(out)
