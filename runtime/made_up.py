"""Tasks of questions with one right answer, made up or held out: the form that lm-eval takes them in, and a table of one number."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset

from .failure import Failure
from .sources import Row
from .tasks import BuiltTask, TableRow

EXAMPLES = 32
"""Questions with answers that stand ready as solved examples, apart from those that are asked."""


Right = Callable[[dict[str, str], str], bool]
"""(question, answer) -> whether it is right."""


def asked(word: str, docs: Sequence[dict[str, str]], *, right: Right, name: str, meaning: str) -> BuiltTask:
    """A task of `question` and `answer`; the first `EXAMPLES` are solved examples, the others are asked."""
    splits = {"train": Dataset.from_list(list(docs[:EXAMPLES])), "test": Dataset.from_list(list(docs[EXAMPLES:]))}
    return _task(word, splits, {"fewshot_split": "train", "fewshot_config": {"sampler": "first_n"}}, right, name, meaning)


def held_out(word: str, rows: Sequence[Row], marker: str, *, right: Right, name: str, meaning: str) -> BuiltTask:
    """A task of the held-out rows, as they were trained on; a text is a question up to the marker, and its answer behind it.

    Raises Failure for a text without one.
    """
    docs = []
    for row in rows:
        if "prompt" in row:
            docs.append({"question": row["prompt"], "answer": row["response"]})
            continue
        question, found, answer = row["text"].partition(marker)
        if not found:
            raise Failure(f"task {word}: a held-out text has no {marker!r} between question and answer: {row['text'][:60]!r}")
        docs.append({"question": question + found, "answer": answer})
    return _task(word, {"test": Dataset.from_list(docs)}, {"target_delimiter": ""}, right, name, meaning)


def _task(word: str, splits: dict[str, Dataset], more: dict[str, Any], right: Right, name: str, meaning: str) -> BuiltTask:
    return BuiltTask(
        config={
            "task": word,
            "custom_dataset": lambda **_: splits,
            "test_split": "test",
            **more,
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{answer}}",
            "generation_kwargs": {"until": ["\n\n"]},
            "process_results": lambda doc, answers: {name: float(right(doc, answers[0]))},
            "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True}],
        },
        table=lambda results: [percent(results, name, meaning)],
    )


def percent(results: dict[str, Any], name: str, meaning: str) -> TableRow:
    """A mean of zeros and ones in percent, with its standard error."""
    error = results.get(f"{name}_stderr,none")
    return TableRow(
        name=name.replace("_", " "),
        value=100 * results[f"{name},none"],
        unit="%",
        meaning=meaning,
        error=100 * error if isinstance(error, float) else None,
    )
