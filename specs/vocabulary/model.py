"""The model of a stage: weights from somewhere, or a fresh architecture."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Compatible, Relation, Requirement, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.hub import hub_id, revised
from dllm_run.specs.locator import kind_of
from dllm_run.specs.problem import Problem, nearest_divisors
from dllm_run.specs.reference import Reference

from .families import Scratch
from .tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Compatible):
    """Exactly one of `from` and `scratch`."""

    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            subject="own.logit_shift",
            trait="trained.model.logit_shift",
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
    revision: str | None = leaf(
        "Branch, tag or commit of a hub id; null: its default branch. The lock holds the commit that it was.", default=None, example="v1.0"
    )
    scratch: Scratch | None = leaf("A fresh architecture with random weights.", default=None)
    tokenizer: Tokenizer | Reference | None = leaf(
        "Tokenizer; null: the one beside the weights.", default=None, example="bytes", output="tokenizer"
    )
    attention: str = leaf("Which positions a token sees.", default="bidirectional", choices=("bidirectional",))
    logit_shift: int = leaf(
        "1 where the logits at a position predict the next one, as in weights that were trained autoregressively.",
        default=0,
        choices=(0, 1),
    )
    dropout: float = leaf("Rate of every dropout module in training; replaces the checkpoint's own.", default=0.0, minimum=0, below=1)

    def completed(self) -> "Model":
        """With the geometry of a fresh model solved."""
        return self if self.scratch is None else _completed(self, self.scratch)

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


@functools.lru_cache(maxsize=256)
def _completed(model: Model, scratch: Scratch) -> Model:
    # One object for equal ones: the stages of a sweep share it.
    heads = scratch.heads or max(1, scratch.width // 64)
    mlp = scratch.mlp or max(32, scratch.width * 8 // 3 // 32 * 32)
    return replace(model, scratch=replace(scratch, heads=heads, mlp=mlp))
