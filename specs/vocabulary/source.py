"""Sources: files, data sets of a hub and computed rows, and the columns that are read of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Compatible, Condition, Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.locator import DATA_SUFFIXES, kind_of
from dllm_run.specs.problem import Problem
from dllm_run.specs.templating import is_template

from .generators import Generator

_SLICE = re.compile(r"(?P<path>[^\[\]+|]+)(?:\[(?P<split>\w+)(?::(?P<limit>\d+)(?P<share>%)?)?\])?")
_GENERATED = (Condition(trait="own.generate", given=True),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Compatible):
    """Exactly one of `path` and `generate`."""

    shorthand: ClassVar[str] = "path"
    table: ClassVar[tuple[Row, ...]] = (
        Inert(option="own.config", when=_GENERATED, reason="computed rows have no configurations"),
        Inert(option="own.split", when=_GENERATED, reason="computed rows have no splits"),
    )

    path: str | None = leaf(
        "A .txt, .jsonl, .json, .csv or .parquet file, a glob of them, a folder, package:NAME/file (of a Python module: its text "
        "literals), or a data set of a hub (ORG/NAME).",
        default=None,
        example="package:pydoc_data/topics",
        locates="data",
        revised_by="revision",
    )
    revision: str | None = leaf(
        "Branch, tag or commit of a data set of a hub; null: its default branch.", default=None, example="main", late=True
    )
    config: str | None = leaf(
        "Configuration of a data set of a hub, or of a folder with the layout of one; null: its default.",
        default=None,
        example="main",
        late=True,
    )
    split: str | None = leaf(
        "Split of a data set of a hub, or of a folder with the layout of one; null: `train` of a hub's, all files of a folder.",
        default=None,
        example="train",
        late=True,
    )
    generate: Generator | None = leaf("A computed data set.", default=None, example="sudoku")
    where: str | None = leaf(
        "Rows kept, by a condition over their columns as they are read; null: all.",
        default=None,
        example="{{ score > 3 }}",
        template="row",
        late=True,
    )
    limit: int | None = leaf("Rows taken from this source; null: all.", unit="rows", default=None, minimum=1)
    weight: float | None = leaf(
        "Share of a mixture, beside the weights of the other sources. Without a `limit` of the data set the mixture is as large as it "
        "can be with no row in it twice: the source that lasts least is used up.",
        default=None,
        above=0,
        late=True,
    )

    def known_rows(self) -> int | None:
        """How many rows it gives, where that is known without reading anything."""
        total = self.generate.count() if self.generate is not None and self.where is None else None
        return total if total is None or self.limit is None else min(total, self.limit)

    def rows(self) -> Iterator[Row]:
        """What is neither a folder nor on a hub has no layout."""
        yield from self.table
        on_hub = self.path is not None and kind_of(self.path, "data") == "hub"
        if self.path is not None and not on_hub:
            yield Inert(option="own.revision", reason="only what is on a hub has revisions")
        if self.path is not None and ("*" in self.path or self.path.endswith((*DATA_SUFFIXES, ".py"))):
            for option in ("own.config", "own.split"):
                yield Inert(option=option, reason="these are files, and all of their rows are read")

    def problems(self) -> Iterator[Problem]:
        """What is no source."""
        if (self.path is None) == (self.generate is None):
            which = "neither" if self.path is None else "both"
            label = "give exactly one: `path: ./texts.jsonl`, or `generate: sudoku`"
            yield Problem(code="E301", message=f"a source has {which} of `path` and `generate`", label=label)
        if self.path is not None and kind_of(self.path, "data") == "hub" and any(mark in self.path for mark in "[]|+"):
            yield _foreign(self.path)
        yield from expression_problems(self.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(Compatible):
    """Names of the columns that are read from tables."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(option="own.text", when=(Condition(trait="format", values=("pairs",)),), reason="the rows are read as pairs"),
        *(
            Inert(option=f"own.{name}", when=(Condition(trait="format", values=("text",)),), reason="the rows are read as texts")
            for name in ("prompt", "response", "messages")
        ),
    )

    text: str = leaf("Column of plain text, for pre-training; or a template over the columns.", default="text", template="row")
    prompt: str = leaf(
        "Column of the prompt, for fine-tuning; or a template over the columns.",
        default="prompt",
        template="row",
        example="Question: {{ question }}",
    )
    response: str = leaf("Column of the response, for fine-tuning; or a template over the columns.", default="response", template="row")
    messages: str = leaf(
        "Column of a conversation, a list of {role, content}, for fine-tuning; read where a row has it and no prompt and response.",
        default="messages",
        late=True,
    )


def expression_problems(where: str | None) -> Iterator[Problem]:
    """A condition that is no template would be the same for every row."""
    if where is not None and not is_template(where):
        fix = (("where",), f"{{{{ {where} }}}}")
        message = "a condition over the columns of a row is written in braces"
        yield Problem(code="E461", message=message, path=("where",), label=f"{{{{ {where} }}}}", fix=fix)


def _foreign(text: str) -> Problem:
    """The form `a[train:10000]+b` of other tools, answered with the YAML that says the same."""
    parts = [_SLICE.fullmatch(part.strip()) for part in re.split(r"[+|]", text)]
    written = [_written(part) for part in parts if part is not None]
    form = "{path: ORG/NAME, split: train, limit: 1000}, …"
    label = f"sources: [{', '.join(written) if len(written) == len(parts) else form}]"
    notes: tuple[str, ...] = ()
    if "|" in text:
        notes = ("a list is concatenated; with a `weight` for every source it is a mixture",)
    if any(part is not None and part["share"] for part in parts):
        notes = (*notes, "`limit` counts rows: a share of a source is not written in per cent")
    return Problem(code="E462", message=f"{text!r} is no path: parts and slices are fields here", path=("path",), label=label, notes=notes)


def _written(part: "re.Match[str]") -> str:
    fields = [f"path: {part['path']}"]
    if part["split"] not in (None, "train"):
        fields.append(f"split: {part['split']}")
    if part["limit"] is not None:
        fields.append("limit: N" if part["share"] else f"limit: {part['limit']}")
    return part["path"] if len(fields) == 1 else f"{{{', '.join(fields)}}}"
