"""Evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem
from dllm_run.specs.questions import RUNS_CODE
from dllm_run.specs.reference import Reference
from dllm_run.specs.word import members

from ..compute import Compute
from ..data import Data
from ..likelihoods import Likelihood
from ..model import Model
from ..samplers import Sampler, sampler_problems
from ..tasks import BuiltInTask
from . import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task by name, with what differs from the stage."""

    shorthand: ClassVar[str] = "name"

    name: str = leaf("Built-in task, lm-eval task, or a task file (./NAME.yaml).", example="held_out_text", locates="task")
    num_fewshot: int | None = leaf("Solved examples before each question; null: the stage's.", default=None, minimum=0)
    limit: int | None = leaf("Questions asked; null: the stage's.", default=None, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eval(Stage):
    """Evaluate a model on tasks, through lm-eval. Output: `results`."""

    word: ClassVar[str] = "eval"
    outputs: ClassVar[tuple[str, ...]] = ("results",)
    inherits_model: ClassVar[bool] = True
    parallel: ClassVar[bool] = True
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        Inert(option="compute.strategy", reason="every process of an evaluation has the whole model, and answers questions of its own"),
        Requirement(
            subject="stage.data",
            trait="data.holdout",
            relation=Relation.GIVEN,
            when=(Condition(trait="data", given=True),),
            message="tasks read the rows that training does not see, and the data set has no `holdout`",
            cure=("data.holdout", 0.05),
            code="E314",
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
    chat_template: bool = leaf("Whether questions are put as a conversation, solved examples as earlier turns of it.", default=False)
    allow_code_execution: bool = leaf("Whether tasks may run the programs that the model writes, on this machine.", default=False)
    batch: int = leaf(
        "Sequences in one forward pass. Of texts whose likelihood is asked: of the longest, and of shorter ones as many as have no more "
        "tokens.",
        default=32,
        minimum=1,
        effect=Effect.NUMERICS,
    )

    def draws_random_numbers(self) -> bool:
        return True

    def rows(self) -> Iterator[Row]:
        yield from self.table
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
        sampler = None if self.sampler is None else self.sampler.completed()
        return replace(self, model=model, sampler=sampler, compute=self._shared().completed(parallel=self.parallel))

    def _shared(self) -> Compute:
        """How its processes share it, whatever strategy trainings have."""
        return replace(self.compute, strategy=None)

    def problems(self) -> Iterator[Problem]:
        """Tasks that lack what they need, and processes that cannot share them."""
        yield from (problem.below("compute") for problem in self._shared().problems_of_sharing())
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
            if task.name.startswith(RUNS_CODE) and not self.allow_code_execution:
                message = f"task {task.name!r} runs the programs that the model writes"
                fix = (("allow_code_execution",), True)
                yield Problem(code="E631", message=message, path=("tasks", str(index)), label="say that it may", fix=fix)
            if built_in is not None and built_in.emptied and self.sampler is not None and self.sampler.edits:
                message = f"task {task.name!r} compares place by place, and sampler {self.sampler.word} does not keep a row's length"
                yield Problem(code="E606", message=message, path=("sampler",), label="only samplers that fill in masks do")
            for need in built_in.needs if built_in is not None else ():
                if getattr(self, need) is None:
                    message = f"task {task.name!r} needs `{need}`"
                    yield Problem(code="E320", message=message, path=("tasks", str(index)), label=_EXAMPLES[need])
        if self.likelihood is None and self.sampler is None:
            yield Problem(code="E320", message="an evaluation needs `likelihood`, `sampler`, or both", label=_EXAMPLES["likelihood"])
        if self.sampler is not None and any(task.name not in members(BuiltInTask) for task in self.tasks):
            yield from sampler_problems(self.sampler, self.max_new_tokens)


_READ_BY_TASKS = ("data", "sampler", "likelihood", "max_new_tokens", "chat_template", "allow_code_execution")
"""Fields of an evaluation that a task may leave alone."""

_EXAMPLES = {
    "data": "data: ${data.NAME}, with a holdout",
    "sampler": "sampler: llada",
    "likelihood": "likelihood: {estimator: elbo, samples: 32}",
}
