"""What training stages have in common: batch, optimizer, duration, evaluation on the way, checkpoints."""

from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.leaves import Path
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.reference import Reference

from .data import Data
from .model import Model
from .objectives import Objective
from .stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of an optimizer step, and of one forward pass."""

    shorthand: ClassVar[str] = "global"

    global_: int = leaf("Rows of an optimizer step over all processes.", unit="rows", minimum=1, alias="global")
    micro: int | None = leaf(
        "Rows of one forward and backward pass; null: the whole batch. Divides `global`.",
        unit="rows",
        default=None,
        minimum=1,
        effect=Effect.NUMERICS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """AdamW and its learning-rate schedule."""

    learning_rate: float = leaf("Peak learning rate.", above=0, example="1e-3")
    lr_schedule: str = leaf("Learning rate after the warm-up.", default="constant", choices=("constant", "linear", "cosine"))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """The bound on the held-out rows while training, always with the same noise."""

    every: Quantity = leaf(
        "How often: `100 steps` or a fraction of the run.",
        factory=lambda: Quantity.parse(0.1),
        units=("steps", "fraction"),
        above=0,
        maximum=1,
    )
    limit: int | None = leaf("Held-out sequences used; null: all.", unit="rows", default=None, minimum=1)


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
    keep: int = leaf("How many of the newest stay.", default=1, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Stage):
    """Fields of the stages that change weights."""

    outputs: ClassVar[tuple[str, ...]] = ("model",)
    inherits_model: ClassVar[bool] = True
    data_format: ClassVar[str] = "text"
    """How the rows of this stage's data are read: `text`, or `pairs` of prompt and response."""

    model: Model = leaf("The model that is trained.")
    data: Data | Reference = leaf("The data set: ${data.NAME}, a map, or the data stage ${stages.X}.")
    objective: Objective = leaf("What is minimised.")
    batch: Batch = leaf("Rows of a step.")
    optimizer: Optimizer = leaf("AdamW and its learning rate.")
    duration: Quantity = leaf("How long: steps, epochs or tokens.", units=("steps", "epochs", "tokens"), example="3 epochs")
    evaluate: Evaluate | None = leaf("Evaluation on the hold-out while training; null: none.", default=None, effect=Effect.NONE)
    checkpoint: Checkpoint = leaf("Checkpoints.", factory=Checkpoint, effect=Effect.NONE)

    def draws_random_numbers(self) -> bool:
        return True

    def promoted(self) -> frozenset[Path]:
        # Dropout inside stock modules is drawn per micro batch, so its size then changes the result.
        return frozenset({("batch", "micro")}) if self.model.dropout > 0 else frozenset()

    def completed(self) -> "Training":
        batch = replace(self.batch, micro=self.batch.micro or self.batch.global_)
        return replace(self, model=self.model.completed(), batch=batch, compute=self.compute.completed())
