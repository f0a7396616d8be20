"""Evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem
from dllm_run.specs.reference import Reference
from dllm_run.specs.word import members

from ..data import Data
from ..model import Model
from ..objectives import Objective
from ..samplers import Sampler, sampler_problems
from ..tasks import BuiltInTask
from . import ALONE, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task by name, with what differs from the stage."""

    shorthand: ClassVar[str] = "name"

    name: str = leaf("Built-in task, lm-eval task, or a task file (./NAME.yaml).", example="held_out_text", locates="task")
    num_fewshot: int | None = leaf("Solved examples before each question; null: the stage's.", default=None, minimum=0)
    limit: int | None = leaf("Questions asked; null: the stage's.", default=None, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """How log-likelihoods are estimated."""

    estimator: str = leaf("`elbo`: the evidence lower bound, averaged over masks at stratified times.", default="elbo", choices=("elbo",))
    samples: int = leaf("Masks drawn for each text.", default=32, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eval(Stage):
    """Evaluate a model on tasks, through lm-eval. Output: `results`."""

    word: ClassVar[str] = "eval"
    outputs: ClassVar[tuple[str, ...]] = ("results",)
    inherits_model: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        *ALONE,
        Requirement(
            subject="stage.data",
            trait="data.holdout",
            relation=Relation.GIVEN,
            when=(Condition(trait="data", given=True),),
            message="tasks read the rows that training does not see, and the data set has no `holdout`",
            cure=("data.holdout", 0.05),
            code="E314",
        ),
        Requirement(
            subject="likelihood",
            trait="model.attention",
            values=("bidirectional",),
            when=(Condition(trait="likelihood", given=True),),
            message="the bound of `likelihood` reads both sides of a mask, and attention is {trait}",
        ),
        Inert(option="compute.gradient_checkpointing", reason="only training goes backwards"),
        Inert(option="compute.compile", reason="only training compiles its layers"),
        Inert(option="model.dropout", reason="only training drops anything"),
    )

    model: Model | Reference = leaf("The model that is evaluated.", output="model")
    tasks: tuple[Task, ...] = leaf("What is asked.")
    data: Data | Reference | None = leaf("Data set whose hold-out the built-in tasks read.", default=None, output="data")
    sampler: Sampler | None = leaf("How answers are generated; null: no task generates.", default=None)
    max_new_tokens: int = leaf("Longest answer.", unit="tokens", default=128, minimum=1)
    likelihood: Likelihood | None = leaf("How likelihoods are estimated; null: no task asks for one.", default=None)
    num_fewshot: int | None = leaf("Solved examples before each question; null: the task's own number.", default=None, minimum=0)
    limit: int | None = leaf("Questions asked of each task; null: all.", default=None, minimum=1)
    batch: int = leaf("Sequences in one forward pass.", default=32, minimum=1, effect=Effect.NUMERICS)

    def draws_random_numbers(self) -> bool:
        return True

    def rows(self) -> Iterator[Row]:
        yield from self.table
        if self.likelihood is not None:
            yield Requirement(
                subject="likelihood",
                trait="trained.objective",
                values=tuple(word for word, cls in members(Objective).items() if issubclass(cls, Objective) and cls.held_out == "bound"),
                message="likelihoods are bounded by filling in masks, and the model was trained by {trait}",
            )
        built_in = [self._built_in(task) for task in self.tasks]
        for index, word in enumerate(built_in):
            for row in word.table if word is not None else ():
                yield replace(row, subject=f"tasks.{index}.name") if isinstance(row, Requirement) else row
        known = [word for word in built_in if word is not None]
        if known and len(known) == len(self.tasks):
            names = " and ".join(word.word for word in known)
            for option in _READ_BY_TASKS:
                if all(option in word.ignores for word in known):
                    yield Inert(option=option, reason=f"{names} never {'read' if len(known) > 1 else 'reads'} it")
        elif self.sampler is not None and not known:
            yield from self._room()
        for option in ("num_fewshot", "limit"):
            if self.tasks and all(getattr(task, option) is not None for task in self.tasks):
                yield Inert(option=option, reason="every task has its own")

    def _room(self) -> Iterator[Row]:
        """Where an answer leaves no place for its question. With built-in tasks it is not sure that the others generate."""
        message = "answers of {subject} tokens leave no room for a question in the {trait} tokens of the data set"
        yield Requirement(
            subject="max_new_tokens",
            trait="data.max_length",
            relation=Relation.AT_LEAST,
            bound=self.max_new_tokens + 1,
            message=message,
            code="E315",
        )

    def _built_in(self, task: Task) -> type[BuiltInTask] | None:
        found = members(BuiltInTask).get(task.name)
        return found if found is not None and issubclass(found, BuiltInTask) else None

    def completed(self) -> "Eval":
        model = self.model if isinstance(self.model, Reference) else self.model.completed()
        return replace(self, model=model, compute=self.compute.completed())

    def problems(self) -> Iterator[Problem]:
        """Tasks that lack what they need."""
        if not self.tasks:
            yield Problem(code="E106", message="an evaluation without tasks", path=("tasks",), label="name at least one")
        seen: set[str] = set()
        for index, task in enumerate(self.tasks):
            if task.name in seen:
                yield Problem(code="E321", message=f"task {task.name!r} stands here twice", path=("tasks", str(index)))
            seen.add(task.name)
            built_in = self._built_in(task)
            examples = self.num_fewshot if task.num_fewshot is None else task.num_fewshot
            if built_in is not None and examples and not built_in.takes_examples:
                own = ("tasks", str(index), "num_fewshot")
                where = ("num_fewshot",) if task.num_fewshot is None else own
                message = f"task {task.name!r} takes no solved examples before its questions"
                yield Problem(code="E322", message=message, path=where, fix=(where if len(self.tasks) == 1 else own, 0))
            for need in built_in.needs if built_in is not None else ():
                if getattr(self, need) is None:
                    message = f"task {task.name!r} needs `{need}`"
                    yield Problem(code="E320", message=message, path=("tasks", str(index)), label=_EXAMPLES[need])
        if self.likelihood is None and self.sampler is None:
            yield Problem(code="E320", message="an evaluation needs `likelihood`, `sampler`, or both", label=_EXAMPLES["likelihood"])
        if self.sampler is not None and any(task.name not in members(BuiltInTask) for task in self.tasks):
            yield from sampler_problems(self.sampler, self.max_new_tokens)


_READ_BY_TASKS = ("sampler", "likelihood", "max_new_tokens")
"""Fields of an evaluation that a task may leave alone."""

_EXAMPLES = {
    "data": "data: ${data.NAME}, with a holdout",
    "sampler": "sampler: llada",
    "likelihood": "likelihood: {estimator: elbo, samples: 32}",
}
