"""Held-out text in bits per byte, beside baselines on the same text."""

from typing import Any

from datasets import Dataset

from dllm_run.specs.vocabulary.tasks.held_out_text import HeldOutText

from ..baselines import gzipped, trigram, unigram
from ..prepared import TRAIN, Split
from . import BuiltTask, Setting, TableRow

_ENOUGH = 4_000_000
"""Bytes of training text that baselines read: beyond it their numbers stand still."""

_METRIC = [{"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}]


def build(word: HeldOutText, setting: Setting) -> BuiltTask:
    """lm-eval's rolling likelihood over the held-out texts, or the likelihood of the held-out responses given their prompts."""
    common = {"task": word.word, "test_split": "test", "metric_list": _METRIC}
    pairs = "prompt" in setting.rows[0]
    docs = Dataset.from_list([dict(row) for row in setting.rows])
    form = _pairs() if pairs else {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"}
    return BuiltTask(
        config={**common, **form, "custom_dataset": lambda **_: {"test": docs}},
        table=lambda results: _table(results, setting, pairs=pairs),
    )


def _pairs() -> dict[str, Any]:
    return {
        "output_type": "loglikelihood",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{response}}",
        "target_delimiter": "",
        "process_results": lambda doc, found: {"bits_per_byte": (found[0][0], len(_scored(doc).encode()))},
    }


def _scored(row: dict[str, str]) -> str:
    """The response, and the spaces before it: the model class scores them with the word that they belong to."""
    prompt = row["prompt"]
    return prompt[len(prompt.rstrip()) :] + row["response"]


def _table(results: dict[str, Any], setting: Setting, *, pairs: bool) -> list[TableRow]:
    train = _training_text(setting)
    given = [row["prompt"].rstrip() if pairs else "" for row in setting.rows]
    scored = [_scored(row) if pairs else row["text"] for row in setting.rows]
    texts = [(before.encode(), text.encode()) for before, text in zip(given, scored, strict=True)]
    unit, what = "bits per byte", "responses" if pairs else "text"
    baselines = [
        ("byte unigram", unigram(train, texts), "each byte by how often it occurs, whatever stands beside it"),
        ("byte trigram", trigram(train, texts), "each byte by the two before it, counted in the training text"),
        ("gzip -9", gzipped(train, texts), "what gzip adds for it once it has seen the end of the training text"),
    ]
    bound = TableRow(
        name="this model",
        value=results["bits_per_byte,none"],
        unit=unit,
        meaning=f"upper bound on what the model needs for {what} it never saw; below a baseline means it knows more than that",
    )
    return [bound, *(TableRow(name=name, value=value, unit=unit, meaning=meaning) for name, value, meaning in baselines)]


def _training_text(setting: Setting) -> bytes:
    split, out = Split.open(setting.data, TRAIN), bytearray()
    for index in range(len(split)):
        out += setting.tokens.decode(split.sequence(index).tokens).encode()
        if len(out) >= _ENOUGH:
            break
    return bytes(out)
