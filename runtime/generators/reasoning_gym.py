"""Tasks of the package reasoning-gym."""

import importlib
from typing import Any

from dllm_run.specs.vocabulary.generators.reasoning_gym import ReasoningGym

from ..failure import Failure
from . import pair


def build(word: ReasoningGym) -> list[dict[str, Any]]:
    """Rows with `prompt`, `response`, both as `text`, and what else the task tells as columns. Raises Failure without the package."""
    try:
        # An extra: it brings many packages, which nobody else should wait for.
        gym: Any = importlib.import_module(word.package)
    except ImportError as error:
        raise Failure(
            f"generator {word.word} needs the package reasoning-gym ({error}): `pip install 'dllm-run[{word.brought_by}]'`"
        ) from None
    try:
        rows = list(gym.create_dataset(word.task, size=word.size, seed=word.seed, **word.options))
    except (ValueError, TypeError, AssertionError, KeyError) as error:
        raise Failure(f"reasoning-gym cannot make task {word.task!r} with these options: {str(error).splitlines()[0]}") from None
    return [{**pair(f"{row['question']}\n", str(row["answer"])), "metadata": row["metadata"]} for row in rows]
