"""One Trainer for all objectives: rows and noise by counter, a loss over the global batch, checkpoints that a reader can trust."""

import functools
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments
from transformers.integrations.deepspeed import deepspeed_load_checkpoint
from transformers.trainer import SCHEDULER_NAME

from dllm_run.specs.vocabulary.training import Training

from .alarm import Alarm, Measured, MeasureRow
from .checkpoint import restore, save
from .context import Context
from .denoiser import Denoiser
from .ema import Average
from .held_out import held_out_loss
from .kept import AVERAGE, forget_older, is_best, keep_best
from .meeting import barrier, summed
from .noise import Stream
from .objectives import Objective
from .prepared import Sequences
from .rows import Rows
from .sharing import gathered, weights_are_divided, write_world
from .training_rows import InOrder, TrainingRows, rows_of
from .work import Work


class DiffusionTrainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """Trainer whose model is a Denoiser. What it overrides is what Trainer would do by causal language modelling's rules."""

    def __init__(
        self,
        *,
        model: Denoiser,
        args: TrainingArguments,
        train_dataset: TrainingRows,
        data_collator: Any,
        callbacks: list[TrainerCallback],
        objective: Objective,
        noise: Stream,
        held_out: Sequences | None,
        context: Context,
        average: Average | None = None,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=train_dataset if held_out is not None else None,
            data_collator=data_collator,
            callbacks=callbacks,
        )
        self.objective = objective
        self.noise = noise
        self.dropout_stream = Stream(context.seed, "dropout")
        self.held_out = held_out
        self.context = context
        self.average = average
        # The loss is divided by the denominator of the whole step: Trainer must not divide by the accumulation again.
        self.loss_is_scaled_for_ga = True
        self.step_loss: Tensor = torch.zeros((), dtype=torch.float64)
        self.step_work = Work()
        self.step_tokens = 0
        body = context.stage.body
        assert isinstance(body, Training)
        self.alarm = Alarm(context, body.stop)
        self.seen_rows: list[Rows] = []
        self.grad_norm: float | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> InOrder:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        return InOrder(rows)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """The objective's own denominator over all micro batches and processes."""
        counted = sum((self.objective.denominator(rows_of(inputs)) for inputs in batch_samples), torch.zeros((), dtype=torch.float64))
        return summed(counted.to(device))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """This micro batch's share of the loss. Processes are averaged by the backend, hence the factor."""
        assert num_items_in_batch is not None and not return_outputs
        rows = rows_of(inputs)
        denoiser: Denoiser = self.model
        before = denoiser.work()
        with self._dropout(inputs):
            loss = model(self.objective.loss, rows, self.objective.draw(self.noise, rows))
        self.step_work = Work(*(was + now - old for was, now, old in zip(self.step_work, denoiser.work(), before, strict=True)))
        share: Tensor = loss.numerator / num_items_in_batch.to(loss.numerator.dtype).clamp(min=1)
        told = share.detach().double().cpu()
        self.step_loss = self.step_loss + told
        self.step_tokens += int(rows.valid_BL.sum())
        self.seen_rows.append(rows)
        self.alarm.finite(float(told), self.state.global_step + 1, self.seen_rows, self._measure())
        processes: int = self.accelerator.num_processes
        return share * processes

    def begin_step(self) -> None:
        """Forget what the micro batches of the last step added up to."""
        self.step_loss, self.step_work, self.step_tokens = torch.zeros((), dtype=torch.float64), Work(), 0

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Called between the last backward pass of a step and the optimizer: the last moment to stop."""
        found = super()._get_grad_norm(model, grad_norm=grad_norm)
        self.grad_norm = None if found is None else float(found)
        loss = self.step_loss if self.alarm.stop is None else summed(self.step_loss.clone())
        self.alarm.step(float(loss), self.grad_norm, self.state.global_step + 1, self.seen_rows, self._measure())
        self.seen_rows = []
        return found

    def _measure(self) -> MeasureRow | None:
        """A row by itself is a pass of this process alone, and where weights are divided no process can do one."""
        return None if weights_are_divided(self.context.compute) else self._by_itself

    def _by_itself(self, row: Rows, gradient: bool) -> Measured:
        """Loss, and norm of the gradient if asked for, of one row without the others."""
        with torch.set_grad_enabled(gradient), self.compute_loss_context_manager():
            loss = self.model(self.objective.loss, row, self.objective.draw(self.noise, row))
            value: Tensor = loss.numerator / loss.denominator.to(loss.numerator).clamp(min=1)
        if not gradient:
            return Measured(float(value))
        self.model.zero_grad()
        torch.autograd.backward(value)
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        return Measured(float(value.detach()), float(torch.nn.utils.get_total_norm(gradients)))

    @contextmanager
    def _dropout(self, inputs: dict[str, Any]) -> Iterator[None]:
        """Dropout inside stock modules draws from the global generator: fork it, seeded by the rows of this micro batch."""
        body = self.context.stage.body
        assert isinstance(body, Training)
        if not body.model.drops:
            yield
            return
        devices = [self.args.device] if self.args.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.dropout_stream.integer(int(inputs["visit_B"][0]), int(inputs["sample_B"][0])))
            yield

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:  # the signature is Trainer's
        """What the objective tells of the held-out sequences, such as the bound in nats per token, always with the same draws."""
        assert self.held_out is not None
        body = self.context.stage.body
        assert isinstance(body, Training) and body.evaluate is not None and body.batch.micro is not None
        denoiser: Denoiser = self.model
        count = min(len(self.held_out), body.evaluate.limit or len(self.held_out))
        self.model_wrapped.eval()
        with self.compute_loss_context_manager(), self.average.in_place() if self.average is not None else nullcontext():
            value = held_out_loss(
                self.objective,
                denoiser,
                self.held_out,
                count=count,
                batch=body.batch.micro,
                stream=Stream(self.context.seed, "evaluate"),
                world=self.context.world,
                within=self.model_wrapped,
            )
        self.model_wrapped.train()
        measure = body.objective.held_out
        self.context.metric(self.state.global_step, {measure: value})
        if body.checkpoint.best:
            self._keep_if_best(value)
        told = {"step": self.state.global_step, "bound": value, "measure": measure.replace("_", " "), "unit": body.objective.unit}
        self.context.emit("evaluate", told)
        found = {"eval_loss": value}
        # Trainer's own does the same: without it the request to evaluate stands, and is met twice at the end.
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _keep_if_best(self, value: float) -> None:
        """Put the weights aside where no evaluation before was as low. Every process takes part where weights are divided."""
        better = self.context.world.first and is_best(self.context.entry, value)
        if not summed(torch.tensor(float(better))):
            return
        state = gathered(self, self.context.compute)
        if self.context.world.first:
            keep_best(self.context.entry, value, self.state.global_step, functools.partial(self._write_model, state=state))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save the network inside the denoiser, as transformers would."""
        assert output_dir is not None
        if not self.context.world.first:
            return
        state = None if state_dict is None else {name.removeprefix("network."): value for name, value in state_dict.items()}
        save(self.model.network, Path(output_dir), state)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Trainer writes `checkpoint-N`; it gets its final name once it is complete, and only then older ones go."""
        super()._save_checkpoint(model, trial)
        step = self.state.global_step
        folder = Path(self.args.output_dir)
        # What every process has written is there before a reader is told that it is.
        barrier()
        if self.context.world.first:
            self._complete(folder, step)
        barrier()

    def _complete(self, folder: Path, step: int) -> None:
        body = self.context.stage.body
        assert isinstance(body, Training)
        write_world(folder / f"checkpoint-{step}", self.context.compute)
        if self.average is not None:
            self.average.save(folder / f"checkpoint-{step}")
            if body.checkpoint.keep != 1:
                self._write_model(folder / f"checkpoint-{step}" / AVERAGE)
        final = folder / f"step-{step}"
        shutil.rmtree(final, ignore_errors=True)
        (folder / f"checkpoint-{step}").rename(final)
        (final / "COMPLETE").write_text(self.context.stage_id + "\n", encoding="utf-8")
        forget_older(self.context.entry, body.checkpoint.keep)

    def _write_model(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Write the weights as they would be written now, were this the end: the average where there is one, or `state`."""
        with self.average.in_place() if self.average is not None else nullcontext():
            save(self.model.network, folder, state)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the network inside the denoiser."""
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            restore(self.model.network, Path(resume_from_checkpoint))

    @property
    def _is_partial(self) -> bool:
        """Whether DeepSpeed is to keep what is trained alone: the rest, quantised or not, comes from where it came from at first."""
        return self.is_deepspeed_enabled and "adapter" in vars(self.model.network)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """What super does for models of PEFT's own class, which this is not."""
        if not self._is_partial:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        self.model_wrapped.save_checkpoint(output_dir, exclude_frozen_parameters=True)
        if self.context.world.first:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> tuple[Any, Any]:
        """The same on the way back: super would miss the weights that are not trained."""
        apart = resume_from_checkpoint if self._is_partial else None
        found: tuple[Any, Any] = super()._prepare_for_training(max_steps, train_dataloader, None if apart else resume_from_checkpoint)
        if apart is not None:
            deepspeed_load_checkpoint(self.model_wrapped, apart, load_module_strict=False)
            self._load_optimizer_and_scheduler(apart)
        return found

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Also the average of the weights: DeepSpeed loads its weights in a way of its own, and comes by here all the same."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.average is not None and checkpoint is not None:
            self.average.restore(Path(checkpoint))
