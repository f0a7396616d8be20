"""Held-out texts with one span taken out, filled in by the sampler."""

from typing import Any

from datasets import Dataset

from dllm_run.specs.vocabulary.tasks.fill_in_the_middle import FillInTheMiddle

from ..failure import Failure
from ..made_up import percent
from ..noise import Stream
from ..prepared import HELD_OUT, Split
from ..tokenizers import Tokens
from . import BuiltTask, Setting, TableRow


def build(word: FillInTheMiddle, setting: Setting) -> BuiltTask:
    """lm-eval's generation with the text around the span as canvas; the span is where the seed puts it, never at an end."""
    stream, split = Stream(setting.seed, "middles"), Split.open(setting.data, HELD_OUT)
    bare = [_bare(split.sequence(index).tokens, setting.tokens) for index in range(len(split))]
    docs = [_doc(ids, setting.tokens, stream, index, word.emptied) for index, ids in enumerate(bare) if len(ids) >= 4]
    if not docs:
        raise Failure(f"task {word.word}: no held-out text has four tokens")
    return BuiltTask(
        config={
            "task": word.word,
            "custom_dataset": lambda **_: {"test": Dataset.from_list(docs)},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{canvas}}",
            "doc_to_target": "{{middle}}",
            "generation_kwargs": {"until": [], "infill": True},
            "process_results": lambda doc, answers: _scores(doc, answers[0], setting.tokens),
            "metric_list": [
                {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("tokens_restored", "spans_restored")
            ],
        },
        table=_table,
    )


def _bare(ids: list[int], tokens: Tokens) -> list[int]:
    """A row without the tokens that begin and end every text."""
    begin, end = tokens.begin, tokens.end
    ids = ids[len(begin) :] if begin and tuple(ids[: len(begin)]) == begin else ids
    return ids[: len(ids) - len(end)] if end and tuple(ids[-len(end) :]) == end else ids


def _doc(ids: list[int], tokens: Tokens, stream: Stream, index: int, share: float) -> dict[str, str]:
    length = max(1, round(share * len(ids)))
    start = 1 + stream.integer(index) % (len(ids) - length - 1)
    before, middle, after = (tokens.decode(part) for part in (ids[:start], ids[start : start + length], ids[start + length :]))
    mask = str(tokens.fast.mask_token)
    return {"canvas": before + mask * length + after, "before": before, "middle": middle, "after": after}


def _scores(doc: dict[str, str], answer: str, tokens: Tokens) -> dict[str, float]:
    """The share of the span's tokens that stand where they stood, and whether all of it does."""
    truth = tokens.encode(doc["middle"])
    found = tokens.encode(answer[len(doc["before"]) : len(answer) - len(doc["after"])])
    same = sum(left == right for left, right in zip(truth, found, strict=False))
    return {"tokens_restored": same / max(1, len(truth)), "spans_restored": float(truth == found)}


def _table(results: dict[str, Any]) -> list[TableRow]:
    return [
        percent(results, "tokens_restored", "tokens of the span as in the original, over the held-out texts"),
        percent(results, "spans_restored", "held-out texts whose whole span came out as in the original"),
    ]
