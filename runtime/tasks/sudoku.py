"""Held-out 4x4 sudoku, filled in by the sampler."""

from typing import Any

from datasets import Dataset

from dllm_run.specs.vocabulary.tasks.sudoku import SudokuTask

from ..generators.sudoku import SIDE, broken_rules
from ..noise import Stream
from . import BuiltTask, Setting, TableRow

_CELLS = SIDE * SIDE


def build(word: SudokuTask, setting: Setting) -> BuiltTask:
    """lm-eval's generation with the puzzle as canvas: solved if every rule holds, whichever solution it is."""
    stream = Stream(setting.seed, "puzzles")
    puzzles = [_puzzle(row["text"], stream, index) for index, row in enumerate(setting.rows)]
    docs = {"puzzle": [text.replace(".", setting.tokens.fast.mask_token) for text in puzzles]}
    return BuiltTask(
        config={
            "task": word.word,
            "custom_dataset": lambda **_: {"test": Dataset.from_dict(docs)},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{puzzle}}",
            "doc_to_target": "",
            "generation_kwargs": {"until": [], "infill": True},
            "process_results": lambda doc, answers: {"solved": float(_verdict(answers[0]) is None)},
            "metric_list": [{"metric": "solved", "aggregation": "mean", "higher_is_better": True}],
        },
        table=_table,
        note=lambda answer: _verdict(answer) or "solved",
        columns=SIDE,
    )


def _puzzle(grid: str, stream: Stream, index: int) -> str:
    """The grid with 60 % of its cells emptied, always the same ones."""
    order = sorted(range(_CELLS), key=lambda cell: stream.integer(index, cell))
    emptied = set(order[: round(_CELLS * SudokuTask.emptied)])
    return "".join("." if cell in emptied else digit for cell, digit in enumerate(grid))


def _verdict(answer: str) -> str | None:
    """None for a grid in which every rule holds."""
    if len(answer) != _CELLS or set(answer) - set("1234"):
        return f"broken: not {_CELLS} digits from 1 to 4"
    problems = broken_rules(answer)
    return f"broken: {problems[0]}" if problems else None


def _table(results: dict[str, Any]) -> list[TableRow]:
    error = results.get("solved_stderr,none")
    return [
        TableRow(
            name="solved",
            value=100 * results["solved,none"],
            unit="%",
            meaning="held-out puzzles, 60 % of the cells empty, whose every row, column and box came out right",
            error=100 * error if isinstance(error, float) else None,
        )
    ]
