"""Evaluation."""

from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.reference import Reference

from ..data import Data
from ..model import Model
from ..samplers import Sampler
from . import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task by name, with what differs from the stage."""

    shorthand: ClassVar[str] = "name"

    name: str = leaf("Built-in task, lm-eval task, or a task file (./NAME.yaml).", example="held_out_text")
    num_fewshot: int | None = leaf("Solved examples before each question; null: the stage's.", default=None, minimum=0)
    limit: int | None = leaf("Questions asked; null: the stage's.", default=None, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """How log-likelihoods are estimated."""

    estimator: str = leaf(
        "`elbo`: the evidence lower bound, averaged over masks at stratified times.", default="elbo", choices=("elbo",)
    )
    samples: int = leaf("Masks drawn for each text.", default=32, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eval(Stage):
    """Evaluate a model on tasks, through lm-eval. Output: `results`."""

    word: ClassVar[str] = "eval"
    outputs: ClassVar[tuple[str, ...]] = ("results",)
    inherits_model: ClassVar[bool] = True

    model: Model | Reference = leaf("The model that is evaluated.")
    tasks: tuple[Task, ...] = leaf("What is asked.")
    data: Data | Reference | None = leaf("Data set whose hold-out the built-in tasks read.", default=None)
    sampler: Sampler | None = leaf("How answers are generated; null: no task generates.", default=None)
    max_new_tokens: int = leaf("Longest answer.", unit="tokens", default=128, minimum=1)
    likelihood: Likelihood | None = leaf("How likelihoods are estimated; null: no task asks for one.", default=None)
    num_fewshot: int | None = leaf("Solved examples before each question; null: the task's own number.", default=None, minimum=0)
    limit: int | None = leaf("Questions asked of each task; null: all.", default=None, minimum=1)
    batch: int = leaf("Sequences in one forward pass.", default=32, minimum=1, effect=Effect.NUMERICS)

    def draws_random_numbers(self) -> bool:
        return True

    def completed(self) -> "Eval":
        model = self.model if isinstance(self.model, Reference) else self.model.completed()
        return replace(self, model=model, compute=self.compute.completed())
