"""Preparing a data set: read, split, tokenise, store."""

import functools
import json
from typing import Any

from datasets import Dataset, Features, Sequence, Value

from dllm_run.specs.vocabulary.stages.data import DataStage

from ..context import Context
from ..edit_rows import edit_sequences
from ..models import tokenizer_of
from ..prepare import Sequences, sequences, split
from ..prepared import GOAL, HELD_OUT, ROWS, START, TRAIN
from ..sources import Row, read_rows


def run(context: Context) -> dict[str, Any]:
    """Write the training and held-out sequences, and the held-out rows as they were."""
    body = context.stage.body
    assert isinstance(body, DataStage)
    tokens = tokenizer_of(context, body.tokenizer, body.special_tokens)
    rows = read_rows(body.data, body.format, context.input_files)
    training, held_out = split(rows, body.data)
    out = context.entry.output("data")
    total = len(rows)
    summary: dict[str, Any] = {"rows": total}
    for name, part, before in ((TRAIN, training, 0), (HELD_OUT, held_out, len(training))):
        tell = functools.partial(_tell, context, before, total)
        if body.start is None:
            found = sequences(part, body.data, tokens, tell)
        else:
            found = edit_sequences(part, body.data, tokens, body.start, tell)
        _save(found, str(out / name))
        summary[name] = _summary(part, found)
    with (out / ROWS).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in held_out)
    return summary


def _tell(context: Context, before: int, total: int, done: int) -> None:
    context.progress("rows", before + done, total)


def _save(found: Sequences, path: str) -> None:
    numbers = Sequence(Value("int32"))
    features = {"tokens": numbers, "runs": numbers}
    runs = [[prompt, len(tokens) - prompt] for tokens, prompt in zip(found.tokens, found.prompt, strict=True)]
    columns: dict[str, list[Any]] = {"tokens": found.tokens, "runs": runs}
    if found.alignments is not None:
        features |= {START: numbers, GOAL: numbers}
        columns |= {START: [item.source for item in found.alignments], GOAL: [item.goal for item in found.alignments]}
    Dataset.from_dict(columns, features=Features(features)).save_to_disk(path)


def _summary(rows: list[Row], found: Sequences) -> dict[str, int]:
    return {
        "rows": len(rows),
        "bytes": sum(len(text.encode()) for row in rows for text in row.values()),
        "sequences": len(found.tokens),
        "tokens": sum(map(len, found.tokens)),
        "cut": found.cut,
        "dropped": found.dropped,
    }
