"""The model of a stage: weights from somewhere, or a fresh architecture."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Compatible, Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.hub import hub_id, revised
from dllm_run.specs.locator import kind_of
from dllm_run.specs.problem import Problem, nearest_divisors
from dllm_run.specs.reference import Reference

from .families import Family
from .lora import Lora
from .quantizations import Quantization
from .special_tokens import SpecialTokens
from .tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Compatible):
    """Exactly one of `from` and `scratch`."""

    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            subject="own.logit_shift",
            trait="trained_logit_shift",
            relation=Relation.SAME,
            message="logit_shift is {subject}, and the weights were trained with {trait}",
            reason="where a logit points to is a fact of the weights",
            code="E421",
        ),
        Requirement(
            subject="own.attention",
            trait="trained.model.attention",
            relation=Relation.SAME,
            message="attention is {subject}, and the weights were trained with {trait}",
            code="E421",
        ),
        Requirement(
            subject="own.tokenizer",
            trait="trained_tokenizer",
            relation=Relation.SAME,
            message="tokenizer {subject} is not {trait}, which the weights were trained with",
            reason="the ids of one mean other texts to the other",
            code="E421",
        ),
        Requirement(
            subject="own.quantization",
            trait="own.lora",
            relation=Relation.GIVEN,
            when=(
                Condition(trait="stage.objective", given=True),
                Condition(trait="own.quantization", given=True),
                Condition(trait="carried", given=False),
            ),
            message="weights in {subject} have no gradients",
            label="train an adapter beside them",
            cure=("own.lora", 64),
            code="E531",
        ),
        Requirement(
            subject="own.quantization",
            trait="own.lora",
            relation=Relation.GIVEN,
            when=(
                Condition(trait="stage.objective", given=True),
                Condition(trait="own.quantization", given=True),
                Condition(trait="carried", values=(True,)),
                Condition(trait="own.adapter", values=("new",)),
            ),
            message="weights in {subject} have no gradients",
            label="train an adapter beside them",
            cure=("own.lora", 64),
            code="E531",
        ),
        Requirement(
            subject="own.adapter",
            trait="own.quantization",
            when=(
                Condition(trait="stage.objective", given=True),
                Condition(trait="carried", values=(True,)),
                Condition(trait="own.adapter", values=("merge",)),
            ),
            message="an adapter cannot be folded into weights in {trait}",
            reason="what it adds would be rounded away",
            cure=("own.adapter", "continue"),
            code="E531",
        ),
        Requirement(
            subject="own.from",
            trait="own.adapter",
            relation=Relation.GIVEN,
            when=(Condition(trait="carried", values=(True,)), Condition(trait="stage.objective", given=True)),
            message="the weights carry an adapter, and `adapter` does not say what becomes of it",
            label="`continue` trains it on, `merge` folds it into the weights first, `new` leaves it out",
            cure=("own.adapter", "continue"),
            code="E532",
        ),
        Requirement(
            subject="own.adapter_from",
            trait="trained_adapter",
            when=(Condition(trait="own.adapter_from", given=True),),
            message="the weights come with an adapter already, and {subject} is a second one",
            label="leave it out, or begin with the weights that it was trained over",
            cure=("own.adapter_from", None),
            code="E535",
        ),
        Inert(option="own.adapter", when=(Condition(trait="carried", given=False),), reason="the weights carry no adapter"),
        Inert(option="own.adapter", when=(Condition(trait="stage.objective", given=False),), reason="only training goes on from one"),
        Inert(
            option="own.lora",
            when=(Condition(trait="own.adapter", values=("continue",)),),
            reason="the adapter that goes on has a rank of its own",
        ),
        Inert(option="own.lora", when=(Condition(trait="stage.objective", given=False),), reason="only training makes an adapter"),
    )

    shorthand: ClassVar[str] = "from"

    from_: str | Reference | None = leaf(
        "Weights: a folder (starting with ./ ../ or /), package:NAME/folder, a hub id, or ${stages.X}.",
        default=None,
        alias="from",
        example="./my-model",
        output="model",
        locates="model",
        revised_by="revision",
    )
    checkpoint: str = leaf(
        "Which weights of the training stage in `from`: the last, the best (if it keeps them), or those of a step that it keeps.",
        default="last",
        pattern=r"^(last|best|step [1-9][0-9]*)$(?!\n)",
        example="step 200",
        late=True,
    )
    revision: str | None = leaf(
        "Branch, tag or commit of a hub id; null: its default branch. The lock holds the commit that it was.", default=None, example="v1.0"
    )
    scratch: Family | None = leaf("A fresh architecture with random weights.", default=None)
    tokenizer: Tokenizer | Reference | None = leaf(
        "Tokenizer; null: the one beside the weights.", default=None, example="bytes", output="tokenizer"
    )
    attention: str = leaf(
        "Which positions a token sees: all, or those of its own block and of blocks before it.",
        default="bidirectional",
        choices=("bidirectional", "block_causal"),
    )
    logit_shift: int | None = leaf(
        "1 where the logits at a position predict the next one; null: that of the weights, by their family (1 for Dream, else 0).",
        default=None,
        choices=(0, 1),
    )
    dtype: str | None = leaf(
        "Number that the weights are held in; null: that of the stage they come from, else float32.",
        default=None,
        choices=("float32", "bfloat16"),
    )
    special_tokens: SpecialTokens | None = leaf("Special tokens that are not those of the tokenizer.", default=None)
    quantization: Quantization | None = leaf(
        "Frozen weights in fewer bits; null: none, or with ${stages.X} alone what X had.", default=None, example="nf4"
    )
    lora: Lora | None = leaf(
        "Train a low-rank adapter beside frozen weights; null: all weights.", default=None, example="{r: 64, alpha: 128}"
    )
    adapter_from: str | None = leaf(
        "An adapter of PEFT over the weights: a folder, package:NAME/folder or a hub id.",
        default=None,
        example="./adapter",
        locates="model",
    )
    adapter: str | None = leaf(
        "What training does with an adapter that the weights carry: go on with it, fold it into them first, or leave it out.",
        default=None,
        choices=("continue", "merge", "new"),
    )
    dropout: float = leaf("Rate of every dropout module in training; replaces the checkpoint's own.", default=0.0, minimum=0, below=1)

    def rows(self) -> Iterator[Row]:
        yield from self.table
        if self.checkpoint == "last":
            return
        yield _TRAINED
        yield _BEST if self.checkpoint == "best" else _STEP

    @property
    def drops(self) -> bool:
        """Whether training draws dropout."""
        return self.dropout > 0 or (self.lora is not None and self.lora.dropout > 0)

    @property
    def stated_shift(self) -> int | None:
        """The logit shift as it is written here, or follows from the family of a fresh model."""
        return self.scratch.logit_shift if self.logit_shift is None and self.scratch is not None else self.logit_shift

    def completed(self) -> "Model":
        """With what follows for it alone solved."""
        return _completed(self, self.scratch)

    def locator(self) -> str | None:
        """What names the weights in plan and lock, with the revision; None where they come from a stage or from nowhere."""
        return revised(self.from_, self.revision, "model") if isinstance(self.from_, str) else None

    def problems(self) -> Iterator[Problem]:
        """What cannot be built."""
        yield from self._revision_problems()
        if (self.from_ is None) == (self.scratch is None):
            which = "neither" if self.from_ is None else "both"
            label = "give exactly one: `from: ./folder`, or `scratch: {family: llama, layers: 4, width: 256}`"
            yield Problem(code="E301", message=f"a model has {which} of `from` and `scratch`", label=label)
        if self.scratch is None:
            return
        for name in ("quantization", "lora", "adapter_from", "adapter"):
            if getattr(self, name) is not None:
                label = "train the weights themselves first"
                yield Problem(code="E530", message=f"`{name}` beside random weights", path=(name,), label=label)
        if self.tokenizer is None:
            label = "name one: `tokenizer: bytes`, or ${stages.X} of a tokenizer stage"
            yield Problem(code="E302", message="a model from scratch brings no tokenizer", label=label)
        heads = self.scratch.heads or max(1, self.scratch.width // 64)
        if self.scratch.width % heads:
            legal = nearest_divisors(self.scratch.width, heads)
            yield Problem(
                code="E310",
                message=f"{heads} heads do not divide a width of {self.scratch.width}",
                path=("scratch", "heads" if self.scratch.heads else "width"),
                notes=(f"nearest legal: heads {' or '.join(map(str, legal))}",),
                fix=(("scratch", "heads"), legal[0]),
            )
        elif self.scratch.width // heads % 2:
            message = f"a head of {self.scratch.width // heads} dimensions is odd, rotary positions need an even one"
            yield Problem(code="E310", message=message, path=("scratch", "width"))

    def _revision_problems(self) -> Iterator[Problem]:
        if self.revision is None:
            return
        reason = None
        if not isinstance(self.from_, str) or kind_of(self.from_, "model") != "hub":
            reason = "only what is on a hub has revisions"
        elif (named := hub_id(self.from_).revision) is not None:
            reason = f"`from` names {named} already"
        if reason is not None:
            message = f"revision has no effect: {reason}"
            yield Problem(code="E430", message=message, path=("revision",), label="leave it out", fix=(("revision",), None))


_TRAINED = Requirement(
    subject="own.checkpoint",
    trait="source.objective",
    relation=Relation.GIVEN,
    message="checkpoint {subject} needs a model that comes from a training stage",
    label="other weights have but one state",
    cure=("own.checkpoint", None),
    code="E492",
)
_BEST = Requirement(
    subject="own.checkpoint",
    trait="source.checkpoint.best",
    values=(True,),
    message="the training keeps no best checkpoint",
    cure=("source.checkpoint.best", True),
    code="E492",
)
_STEP = Requirement(
    subject="own.checkpoint",
    trait="kept_checkpoint",
    relation=Relation.SAME,
    message="the training does not keep {subject}; the nearest that it keeps is {trait}",
    reason="`checkpoint: {every, keep}` of the training decides: `keep: all` keeps what is saved",
    code="E493",
)


@functools.lru_cache(maxsize=256)
def _completed(model: Model, scratch: Family | None) -> Model:
    # One object for equal ones: the stages of a sweep share it.
    model = replace(model, lora=None if model.lora is None else model.lora.completed())
    if isinstance(model.from_, Reference):
        return model
    dtype = model.dtype or "float32"
    return replace(model, scratch=None if scratch is None else scratch.completed(), logit_shift=model.stated_shift, dtype=dtype)
