"""Data sets: where rows come from, which are held out, and how they become sequences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Compatible, Condition, Inert, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.locator import is_task_file
from dllm_run.specs.problem import Problem
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.templating import is_template

from .mappings import Mapping
from .source import Columns, Source, expression_problems

_UNSEEDED = Inert(
    option="own.seed",
    when=(Condition(trait="own.holdout", given=False), Condition(trait="own.limit", given=False)),
    reason="without `holdout`, `limit` and weights all rows are used, in the order in which they stand",
)
_STREAMED = (Condition(trait="own.streaming", values=(True,)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Data(Compatible):
    """A data set; a stage that names one is preceded by a stage that prepares it."""

    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            subject="own.packing",
            trait="format",
            values=("text",),
            when=(Condition(trait="own.packing", values=("cut",)),),
            message="packing by cutting joins texts, and these rows are read as {trait}",
            reason="a cut falls anywhere, also between a prompt and its response; `documents` keeps rows whole",
            cure=("own.packing", "documents"),
        ),
        Requirement(
            subject="own.streaming",
            trait="own.packing",
            values=("none",),
            when=_STREAMED,
            message="rows that are read while training cannot be packed, and packing is {trait}",
            reason="what shares a row is only known when all rows have been tokenised",
            cure=("own.packing", "none"),
        ),
        Requirement(
            subject="own.streaming",
            trait="own.truncation",
            values=("right",),
            when=_STREAMED,
            message="rows that are read while training cannot be dropped for their length",
            reason="how many rows there are is known before any is tokenised",
            cure=("own.truncation", "right"),
        ),
        Inert(
            option="own.truncation",
            when=(Condition(trait="own.packing", values=("cut",)),),
            reason="packing joins all rows and cuts the whole",
        ),
        Inert(
            option="own.truncation",
            when=(Condition(trait="own.packing", values=("documents",)), Condition(trait="format", values=("text",))),
            reason="packing splits longer texts",
        ),
        Inert(
            option="own.padding",
            when=(Condition(trait="own.packing", values=("cut", "documents")),),
            reason="packing fills the sequences",
        ),
        Inert(
            option="own.padding_multiple",
            when=(Condition(trait="own.padding", values=("mask",)),),
            reason="hidden padding goes to the longest row of a batch",
        ),
        Inert(option="own.chat_template", when=(Condition(trait="format", values=("text",)),), reason="the rows are read as texts"),
        Inert(option="own.workers", when=_STREAMED, reason="rows are tokenised while training"),
    )

    sources: tuple[Source, ...] = leaf("Where rows come from; a list is concatenated, or mixed where its sources have weights.")
    where: str | None = leaf(
        "Rows kept, by a condition over their columns after `map`; null: all.",
        default=None,
        example='{{ level == "hard" and answer|length < 500 }}',
        template="row",
        late=True,
    )
    map: tuple[Mapping, ...] = leaf("What each row goes through before its columns are read, one after the other.", default=(), late=True)
    holdout: Quantity | None = leaf(
        "Rows kept away from training, chosen first: `500 rows` or a fraction. Training rows that are equal to one of them leave too.",
        default=None,
        units=("rows", "fraction"),
        above=0,
        below=1,
    )
    limit: int | None = leaf(
        "Training rows kept, after the hold-out has left; null: all. Of sources with weights: rows of the mixture, for which a source "
        "that has too few repeats them.",
        unit="rows",
        default=None,
        minimum=1,
    )
    max_length: int = leaf("Longest sequence.", unit="tokens", default=1024, minimum=2)
    truncation: str = leaf("What happens to longer rows: cut on the right, or dropped.", default="right", choices=("right", "drop"))
    packing: str = leaf(
        "`cut`: join texts, an end-of-text token after each, and cut them into full sequences. `documents`: let whole rows share a "
        "sequence without seeing each other.",
        default="none",
        choices=("none", "cut", "documents"),
        formerly=((True, "cut"), (False, "none")),
    )
    padding: str = leaf(
        "`mask`: shorter rows are filled up to the longest of their batch, and nobody sees that. `train_eos`: with end-of-text tokens "
        "that are seen and learned, so that a model learns to stay silent after its answer.",
        default="mask",
        choices=("mask", "train_eos"),
        late=True,
    )
    padding_multiple: int | None = leaf(
        "`train_eos` fills up to the next multiple of this, such as the block size of bd3lm; null: to `max_length`.",
        unit="tokens",
        default=None,
        minimum=2,
        late=True,
    )
    chat_template: str | bool = leaf(
        "How conversations are laid out: false: by the template of the model's family or tokenizer. true: pairs too, as a question and "
        "its answer. A Jinja text, or the path of one (./chat.jinja): by that, pairs too.",
        default=False,
        locates="template",
        template="chat",
        late=True,
    )
    columns: Columns = leaf("Names of columns in tables.", factory=Columns)
    streaming: bool = leaf(
        "Read and tokenise rows while training, from an index made before, in blocks of 1,024 rows that are shuffled, and in windows of "
        "8 of these.",
        default=False,
        late=True,
    )
    workers: int | None = leaf(
        "Processes that tokenise; null: one a core where the data are large.", default=None, minimum=1, effect=Effect.NONE, late=True
    )
    seed: int = leaf("Chooses the hold-out, the rows of a mixture and their order.", default=0, minimum=0)

    @property
    def weighted(self) -> bool:
        """Whether its sources are mixed by weights."""
        return any(source.weight is not None for source in self.sources)

    def rows(self) -> Iterator[Row]:
        """A mixture draws rows, so that its seed counts."""
        yield from self.table
        if not self.weighted:
            yield _UNSEEDED

    def problems(self) -> Iterator[Problem]:
        """What holds no rows, and what is mixed by half."""
        if not self.sources:
            yield Problem(code="E106", message="a data set without sources has no rows", path=("sources",), label="name at least one")
        if self.holdout is not None and self.holdout.amount <= 0:
            yield Problem(code="E106", message="an empty hold-out", path=("holdout",), label="leave it out, or `500 rows`, or 0.05")
        bare = [index for index, source in enumerate(self.sources) if source.weight is None]
        if self.weighted and bare:
            message = f"source {bare[0] + 1} has no weight, and others have: what share is it to have?"
            where = ("sources", str(bare[0]))
            yield Problem(code="E460", message=message, path=where, label="a mixture has a weight for every source")
        yield from expression_problems(self.where)
        if isinstance(self.chat_template, str) and not is_template(self.chat_template) and not is_task_file(self.chat_template):
            message = f"{self.chat_template!r} is neither a chat template nor the path of one"
            label = "true, a Jinja text over `messages`, or a path such as ./chat.jinja"
            yield Problem(code="E463", message=message, path=("chat_template",), label=label)
        if self.padding_multiple is not None and self.padding_multiple > self.max_length:
            message = f"sequences of at most {self.max_length} tokens cannot be filled up to a multiple of {self.padding_multiple}"
            yield Problem(code="E464", message=message, path=("padding_multiple",), fix=(("padding_multiple",), self.max_length))
        rows = [source.known_rows() for source in self.sources]
        total = sum(count or 0 for count in rows)
        if self.holdout is not None and rows and None not in rows and self.holdout.of(total) >= total:
            message = f"a hold-out of {self.holdout.of(total)} rows leaves nothing of {total} to train on"
            yield Problem(code="E323", message=message, path=("holdout",), fix=(("holdout",), 0.1))
