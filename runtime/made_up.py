"""Tasks that make up their own questions: the form that lm-eval takes them in, and a table of one number."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset

from .tasks import BuiltTask, TableRow

EXAMPLES = 32
"""Questions with answers that stand ready as solved examples, apart from those that are asked."""


def asked(word: str, docs: Sequence[dict[str, str]], *, right: Callable[[dict[str, str], str], bool], name: str, meaning: str) -> BuiltTask:
    """A task of `question` and `answer`; the first `EXAMPLES` are solved examples, the others are asked."""
    splits = {"train": Dataset.from_list(list(docs[:EXAMPLES])), "test": Dataset.from_list(list(docs[EXAMPLES:]))}
    return BuiltTask(
        config={
            "task": word,
            "custom_dataset": lambda **_: splits,
            "test_split": "test",
            "fewshot_split": "train",
            "fewshot_config": {"sampler": "first_n"},
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
