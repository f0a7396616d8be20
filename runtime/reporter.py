"""What is told at the end of each training step: progress and metrics, and the answer to signals."""

import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .context import Context
from .meeting import summed
from .sharing import refuse_otherwise
from .trainer import DiffusionTrainer
from .work import Speedometer, Work


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Progress, metrics and the answer to signals, at the end of each step."""

    def __init__(self, context: Context, *, steps: int, rows: int, speed: Speedometer) -> None:
        self.context = context
        self.steps = steps
        self.rows = rows
        """Of a step, over all processes."""
        self.speed = speed
        self.trainer: DiffusionTrainer | None = None
        self.since = 0.0
        """When the step began that is under way: what is evaluated or saved between two is in neither."""
        self.seconds = 0.0
        self.tokens = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        assert self.trainer is not None
        refuse_otherwise(self.trainer.model_wrapped, self.context.compute)
        self.since = time.monotonic()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.since = time.monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.since = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        trainer = self.trainer
        assert trainer is not None
        if trainer.average is not None:
            trainer.average.update()
        # One message a step: what all processes lost and did, and whether any of them was asked to stop. They stop at the same step.
        mine = [float(trainer.step_loss), float(self.context.asked), float(trainer.step_tokens), *map(float, trainer.step_work)]
        loss, asked, tokens, *work = summed(torch.tensor(mine, dtype=torch.float64)).tolist()
        self.context.interrupted = asked > 0
        trainer.begin_step()
        now = time.monotonic()
        seconds, self.since = now - self.since, now
        self.seconds, self.tokens = self.seconds + seconds, self.tokens + tokens
        lr = float(kwargs["lr_scheduler"].get_last_lr()[0])
        norm = {} if trainer.grad_norm is None else {"grad_norm": trainer.grad_norm}
        speed = self.speed.numbers(Work(*work), tokens=tokens, rows=self.rows, seconds=seconds)
        self.context.metric(state.global_step, {"loss": loss, "learning_rate": lr, **norm, **speed})
        numbers = {"loss": loss, "tokens_per_second": self.tokens / max(self.seconds, 1e-9), "learning_rate": lr}
        self.context.progress("steps", state.global_step, self.steps, numbers)
        if self.context.interrupted:
            control.should_save = True
            control.should_training_stop = True
