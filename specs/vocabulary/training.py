"""What training stages have in common: batch, optimizer, duration, evaluation on the way, checkpoints."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.arithmetic import optimizer_steps
from dllm_run.specs.compatibility import Compatible, Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.leaves import Path
from dllm_run.specs.problem import Problem, nearest_divisors, nearest_multiples
from dllm_run.specs.quantity import FRACTION, Quantity
from dllm_run.specs.reference import Reference
from dllm_run.specs.strategies import STRATEGIES

from .data import Data
from .lr_schedules import LrSchedule
from .lr_schedules.constant import ConstantRate
from .model import Model
from .objectives import Objective
from .stages import Stage
from .stop import Stop
from .trackers import Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Compatible):
    """Rows of an optimizer step, and of one forward pass."""

    shorthand: ClassVar[str] = "global"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            subject="own.bucketing",
            trait="data.streaming",
            values=(False,),
            when=(Condition(trait="own.bucketing", given=True),),
            message="buckets need the lengths of all rows, and these are tokenised while training",
        ),
        Inert(
            option="own.bucketing",
            when=(Condition(trait="data.packing", values=("cut", "documents")),),
            reason="packed sequences are of one length",
        ),
        Inert(
            option="own.bucketing",
            when=(Condition(trait="data.padding", values=("train_eos",)), Condition(trait="data.padding_multiple", given=False)),
            reason="padding fills every sequence to `max_length`",
        ),
    )

    global_: int = leaf("Rows of an optimizer step over all processes.", unit="rows", minimum=1, alias="global")
    micro: int | None = leaf(
        "Rows of one forward and backward pass; null: the most that `compute.gpu` holds, or all of a process. Divides `global`.",
        unit="rows",
        default=None,
        minimum=1,
        effect=Effect.NUMERICS,
        result_if="the model has dropout, which is drawn for each micro batch",
    )
    bucketing: int | None = leaf(
        "Batches whose rows are sorted by length among each other, so that a batch has rows of about one length and little padding; null: "
        "none are.",
        default=None,
        minimum=2,
        late=True,
    )

    def problems_among(self, processes: int) -> Iterator[Problem]:
        """A batch that is no whole number of micro batches of every process; paths are those of the batch."""
        micro = self.micro or 1
        if self.global_ % (micro * processes) == 0:
            return
        factors = [] if self.micro is None else [f"micro {micro}"]
        factors += ["accumulation", *([f"{processes} processes"] if processes > 1 else [])]
        micros = nearest_divisors(self.global_ // processes, micro) if self.micro is not None and self.global_ % processes == 0 else []
        wholes = nearest_multiples(micro * processes, self.global_)
        legal = [f"{name} {' or '.join(map(str, found))}" for name, found in (("micro", micros), ("global", wholes)) if found]
        yield Problem(
            code="E311",
            message="the batch does not divide",
            path=("global",),
            notes=(
                f"{self.global_} = {' x '.join(factors)} has no whole accumulation",
                f"nearest legal: {', or '.join(legal)}",
            ),
            fix=(("micro",), micros[0]) if micros else (("global",), wholes[0]),
            related=((("micro",), "the micro batch"),) if self.micro is not None else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """AdamW and its learning-rate schedule."""

    learning_rate: float = leaf("Peak learning rate.", above=0, example="1e-3")
    lr_schedule: LrSchedule = leaf("Learning rate after the warm-up.", factory=ConstantRate)
    warmup: Quantity = leaf(
        "Linear warm-up: `100 steps` or a fraction of the run.",
        factory=lambda: Quantity.parse(0.0),
        units=("steps", "fraction"),
        minimum=0,
        below=1,
    )
    weight_decay: float = leaf("Decoupled weight decay.", default=0.0, minimum=0)
    beta1: float = leaf("Decay of the first moment.", default=0.9, minimum=0, below=1)
    beta2: float = leaf("Decay of the second moment.", default=0.999, minimum=0, below=1)
    epsilon: float = leaf("Added to the root of the second moment.", default=1e-8, above=0)
    max_grad_norm: float = leaf("Gradients are clipped to this norm; 0: never.", default=1.0, minimum=0)


_BEST_STAYS = "the weights of the best evaluation are kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """The bound on the held-out rows while training, always with the same noise."""

    every: Quantity = leaf(
        "How often: `100 steps` or a fraction of the run.",
        factory=lambda: Quantity.parse(0.1),
        units=("steps", "fraction"),
        above=0,
        maximum=1,
        result_if=_BEST_STAYS,
    )
    limit: int | None = leaf("Held-out sequences used; null: all.", unit="rows", default=None, minimum=1, result_if=_BEST_STAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is saved on the way, so that a killed run continues."""

    every: Quantity = leaf(
        "How often: `100 steps` or a fraction of the run.",
        factory=lambda: Quantity.parse(0.1),
        units=("steps", "fraction"),
        above=0,
        maximum=1,
    )
    keep: int | str = leaf(
        "How many of the newest stay, as models that later stages may name; `all`: every one.", default=1, minimum=1, pattern=r"^all$(?!\n)"
    )
    best: bool = leaf(
        "Whether the weights with the lowest held-out measure are kept too, for `checkpoint: best`.",
        default=False,
        effect=Effect.RESULT,
        late=True,
    )

    def kept(self, total: int) -> list[int]:
        """The steps that are there after a run of so many; the last one is always saved."""
        every = max(1, self.every.of(total))
        saved = sorted({*range(every, total + 1, every), total})
        return saved if isinstance(self.keep, str) else saved[-self.keep :]


_DIVIDING = tuple(name for name, strategy in STRATEGIES.items() if strategy.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Stage):
    """Fields of the stages that change weights."""

    outputs: ClassVar[tuple[str, ...]] = ("model",)
    inherits_model: ClassVar[bool] = True
    parallel: ClassVar[bool] = True
    ends_at_a_step: ClassVar[bool] = True
    logs: ClassVar[bool] = True
    data_format: ClassVar[str] = "text"
    """How the rows of this stage's data are read: `text`, or `pairs` of prompt and response."""
    table: ClassVar[tuple[Row, ...]] = (
        *Stage.table,
        Requirement(
            subject="evaluate",
            trait="data.holdout",
            relation=Relation.GIVEN,
            when=(Condition(trait="evaluate", given=True), Condition(trait="data", given=True)),
            message="evaluation needs rows that training does not see",
            label="the data set has no `holdout`",
            cure=("data.holdout", 0.05),
            code="E314",
        ),
        Requirement(
            subject="checkpoint.best",
            trait="evaluate",
            relation=Relation.GIVEN,
            when=(Condition(trait="checkpoint.best", values=(True,)),),
            message="the best checkpoint is the one with the lowest held-out measure, and nothing is evaluated",
            cure=("evaluate.every", 0.1),
            code="E491",
        ),
        Requirement(
            subject="data.max_length",
            trait="weights.scratch.positions",
            relation=Relation.AT_LEAST,
            message="sequences of {subject} tokens do not fit a model of {trait} positions",
            code="E315",
        ),
        Requirement(
            subject="compute.compile",
            trait="compute.strategy",
            values=tuple(name for name, strategy in STRATEGIES.items() if not (strategy.weights and strategy.zero_stage)),
            when=(Condition(trait="compute.compile", values=(True,)),),
            message="{trait} gathers weights by hooks inside the layers, which compiles none of them whole",
            cure=("compute.strategy", "fsdp2"),
        ),
        *(
            Requirement(
                subject=subject,
                trait="compute.strategy",
                values=tuple(name for name, strategy in STRATEGIES.items() if strategy.several and not strategy.weights),
                when=(Condition(trait=subject, given=True), Condition(trait="compute.strategy", values=_DIVIDING)),
                message=message,
                code="E483",
                cure=("compute.strategy", "zero2"),
            )
            for subject, message in (
                ("model.quantization", "{trait} divides the weights, and quantised ones stay whole"),
                ("ema", "{trait} divides the weights, and their average is kept whole"),
            )
        ),
    )

    model: Model = leaf("The model that is trained.")
    data: Data | Reference = leaf("The data set: ${data.NAME}, a map, or the data stage ${stages.X}.", output="data")
    objective: Objective = leaf("What is minimised.")
    batch: Batch = leaf("Rows of a step.")
    optimizer: Optimizer = leaf("AdamW and its learning rate.")
    ema: float | None = leaf(
        "Decay, at every step, of an average of the weights that is evaluated and written instead of them; null: none.",
        default=None,
        above=0,
        below=1,
        example="0.999",
    )
    duration: Quantity = leaf("How long: steps, epochs or tokens.", units=("steps", "epochs", "tokens"), example="3 epochs")
    evaluate: Evaluate | None = leaf("Evaluation on the hold-out while training; null: none.", default=None, effect=Effect.NONE)
    checkpoint: Checkpoint = leaf("Checkpoints.", factory=Checkpoint, effect=Effect.NONE)
    stop: Stop | None = leaf("Limits beyond which the run stops; null: only what is no number stops it.", default=None, effect=Effect.NONE)
    log: tuple[Tracker, ...] = leaf(
        "Trackers that get the metrics, beside the JSON lines that are always written; instead of those at the top.",
        default=(),
        effect=Effect.NONE,
    )

    def draws_random_numbers(self) -> bool:
        return True

    def adds_edit_heads(self) -> bool:
        return self.objective.edit_heads

    def promoted(self) -> frozenset[Path]:
        """What changes a result in spite of its effect.

        The micro batch, under dropout: stock modules draw it for each micro batch. What is evaluated, and when, where the best stays.
        """
        dropout = {("batch", "micro")} if self.model.drops else set()
        return frozenset(dropout | _DECIDE_THE_BEST if self.checkpoint.best else dropout)

    def nearest_kept(self, step: int) -> int | None:
        """The step nearest to this one whose weights are kept; None where the length of the run follows from its data."""
        if self.duration.unit != "steps":
            return None
        return min(self.checkpoint.kept(optimizer_steps(self.duration, batch=self.batch.global_) or 1), key=lambda kept: abs(kept - step))

    def completed(self) -> "Training":
        batch = replace(self.batch, micro=self.batch.micro or max(1, self.batch.global_ // self.compute.world))
        return replace(self, model=self.model.completed(), batch=batch, compute=self.compute.completed(parallel=self.parallel))

    def problems(self) -> Iterator[Problem]:
        """What would not train, or never happen while training."""
        if self.duration.amount <= 0:
            yield Problem(code="E106", message="a training of no steps", path=("duration",), label="at least `1 step`")
        yield from (problem.below("compute") for problem in self.compute.problems_of_sharing())
        yield from (problem.below("batch") for problem in self.batch.problems_among(self.compute.world))
        yield from self._events()
        for index, tracker in enumerate(self.log):
            if tracker.word in {other.word for other in self.log[:index]}:
                yield Problem(code="E106", message=f"{tracker.word} is named twice", path=("log", str(index)), label="leave one out")

    def _events(self) -> Iterator[Problem]:
        if self.duration.unit == "steps":
            total = round(self.duration.amount)
            yield from self.events_within(total, f"the run has {total} steps")

    def events_within(self, total: int, why: str) -> Iterator[Problem]:
        """What never happens in `total` steps; `why` says where these come from."""
        warmup = self.optimizer.warmup
        if warmup.unit != FRACTION and warmup.amount > total:
            yield Problem(
                code="E312",
                message=f"a warm-up of {warmup.amount:g} steps is longer than the run",
                path=("optimizer", "warmup"),
                fix=(("optimizer", "warmup"), 0.1),
                related=((("duration",), why),),
            )
        for found in self.optimizer.lr_schedule.problems_within(total, warmup.of(total)):
            inside = ("optimizer", "lr_schedule")
            fix = None if found.fix is None else ((*inside, *found.fix[0]), found.fix[1])
            yield replace(found, path=(*inside, *found.path), fix=fix, related=((("duration",), why),))
        events = [("checkpoint", self.checkpoint.every)]
        if self.evaluate is not None:
            events.append(("evaluate", self.evaluate.every))
        for name, every in events:
            if every.unit != FRACTION and every.amount > total:
                yield Problem(
                    code="E313",
                    message=f"{name} every {every.amount:g} steps never happens",
                    path=(name, "every"),
                    fix=((name, "every"), f"{max(1, total // 10)} steps"),
                    related=((("duration",), why),),
                    severity="error" if name == "evaluate" else "warning",
                )


_DECIDE_THE_BEST: set[Path] = {("evaluate", "every"), ("evaluate", "limit")}
"""Fields on which it depends which weights are the best."""
