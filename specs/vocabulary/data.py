"""Data sets: where rows come from, which are held out, and how they become sequences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Compatible, Condition, Inert, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem
from dllm_run.specs.quantity import Quantity

from .generators import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Exactly one of `path` and `generate`."""

    shorthand: ClassVar[str] = "path"

    path: str | None = leaf(
        "A .txt, .jsonl, .json, .csv or .parquet file, a glob of them, or package:NAME/file (of a Python module: its text literals).",
        default=None,
        example="package:pydoc_data/topics",
        locates="data",
    )
    generate: Generator | None = leaf("A computed data set.", default=None, example="sudoku")
    limit: int | None = leaf("Rows taken from this source; null: all.", unit="rows", default=None, minimum=1)

    def known_rows(self) -> int | None:
        """How many rows it gives, where that is known without reading anything."""
        total = self.generate.total if self.generate is not None else None
        return total if total is None or self.limit is None else min(total, self.limit)

    def problems(self) -> Iterator[Problem]:
        """What is no source."""
        if (self.path is None) == (self.generate is None):
            which = "neither" if self.path is None else "both"
            label = "give exactly one: `path: ./texts.jsonl`, or `generate: sudoku`"
            yield Problem(code="E301", message=f"a source has {which} of `path` and `generate`", label=label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(Compatible):
    """Names of the columns that are read from tables."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(option="own.text", when=(Condition(trait="format", values=("pairs",)),), reason="the rows are read as pairs"),
        Inert(option="own.prompt", when=(Condition(trait="format", values=("text",)),), reason="the rows are read as texts"),
        Inert(option="own.response", when=(Condition(trait="format", values=("text",)),), reason="the rows are read as texts"),
    )

    text: str = leaf("Column of plain text, for pre-training; or a template over the columns.", default="text", template="row")
    prompt: str = leaf(
        "Column of the prompt, for fine-tuning; or a template over the columns.",
        default="prompt",
        template="row",
        example="Question: {{ question }}",
    )
    response: str = leaf("Column of the response, for fine-tuning; or a template over the columns.", default="response", template="row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Data(Compatible):
    """A data set; a stage that names one is preceded by a stage that prepares it."""

    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            subject="own.packing",
            trait="format",
            values=("text",),
            when=(Condition(trait="own.packing", values=(True,)),),
            message="packing joins texts, and these rows are read as {trait}",
            reason="joined rows no longer say which of their tokens are the prompt: prompts would be learned too",
            cure=("own.packing", False),
        ),
        Inert(
            option="own.truncation",
            when=(Condition(trait="own.packing", values=(True,)),),
            reason="packing joins all rows and cuts the whole",
        ),
        Inert(
            option="own.seed",
            when=(Condition(trait="own.holdout", given=False), Condition(trait="own.limit", given=False)),
            reason="without `holdout` and `limit` all rows are used, in the order in which they stand",
        ),
    )

    sources: tuple[Source, ...] = leaf("Where rows come from; a list is concatenated.")
    holdout: Quantity | None = leaf(
        "Rows kept away from training, chosen first: `500 rows` or a fraction.",
        default=None,
        units=("rows", "fraction"),
        above=0,
        below=1,
    )
    limit: int | None = leaf("Training rows kept, after the hold-out has left; null: all.", unit="rows", default=None, minimum=1)
    max_length: int = leaf("Longest sequence.", unit="tokens", default=1024, minimum=2)
    truncation: str = leaf("What happens to longer rows: cut on the right, or dropped.", default="right", choices=("right", "drop"))
    packing: bool = leaf("Join texts, an end-of-text token after each, and cut them into full sequences.", default=False)
    columns: Columns = leaf("Names of columns in tables.", factory=Columns)
    seed: int = leaf("Chooses the hold-out and the order of rows.", default=0, minimum=0)

    def problems(self) -> Iterator[Problem]:
        """What holds no rows."""
        if not self.sources:
            yield Problem(code="E106", message="a data set without sources has no rows", path=("sources",), label="name at least one")
        if self.holdout is not None and self.holdout.amount <= 0:
            yield Problem(code="E106", message="an empty hold-out", path=("holdout",), label="leave it out, or `500 rows`, or 0.05")
        rows = [source.known_rows() for source in self.sources]
        total = sum(count or 0 for count in rows)
        if self.holdout is not None and rows and None not in rows and self.holdout.of(total) >= total:
            message = f"a hold-out of {self.holdout.of(total)} rows leaves nothing of {total} to train on"
            yield Problem(code="E323", message=message, path=("holdout",), fix=(("holdout",), 0.1))
