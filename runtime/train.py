"""Training a model: Hugging Face Trainer underneath, our rows, noise, loss and checkpoints."""

import contextlib
import functools
import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from dllm_run.specs.arithmetic import optimizer_steps
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.training import Training

from .build import build
from .checkpoint import save
from .context import Context
from .curve import save_curve
from .edit_heads import add_heads, has_heads, leave_unread
from .edit_record import left_by, note
from .ema import Average
from .failure import Failure
from .history import history
from .kept import write_kept
from .models import adapt, load
from .noise import Stream
from .prepared import HELD_OUT, TRAIN, Split
from .reporter import Reporter
from .sharing import adjust, continues, gathered, keep_precision, prepare, sharing
from .tracking import tracked
from .trainer import DiffusionTrainer
from .training_rows import TrainingRows, collate
from .work import speedometer


def train(context: Context) -> dict[str, Any]:
    """Run a training stage to its end, from its newest complete checkpoint if there is one, with its trackers."""
    with tracked(context):
        return _train(context)


def _train(context: Context) -> dict[str, Any]:
    body = context.stage.body
    assert isinstance(body, Training) and isinstance(body.data, Reference) and body.batch.micro is not None
    data = context.output_of(body.data)
    split = Split.open(data, TRAIN)
    if not len(split):
        raise Failure("the data set has no training sequences")
    steps = _steps(body, context)
    prepare(body)
    loaded = load(context, body.model)
    if body.objective.edit_heads:
        _with_edit_heads(context, body, loaded.denoiser.network)
    note(loaded.denoiser.network, left_by(body.objective))
    adapt(loaded, body.model, Stream(context.seed, "adapter"))
    if body.compute.gradient_checkpointing:
        loaded.denoiser.recompute()
    if body.compute.compile:
        loaded.denoiser.compile_layers()
    average = Average(loaded.denoiser.network, body.ema) if body.ema is not None else None
    rows = TrainingRows(split, seed=context.seed, batch=body.batch.global_, steps=steps, bucketing=body.batch.bucketing)
    reporter = Reporter(context, steps=steps, rows=body.batch.global_, speed=speedometer(loaded.denoiser.network, body.compute))
    parameters = loaded.denoiser.network.num_parameters()
    arguments = _arguments(body, context, steps)
    adjust(arguments, loaded.denoiser, body)
    trainer = DiffusionTrainer(
        model=loaded.denoiser,
        args=arguments,
        train_dataset=rows,
        data_collator=functools.partial(
            collate, pad=loaded.tokens.pad, batch=body.batch.global_, vocabulary=int(loaded.denoiser.network.config.vocab_size)
        ),
        callbacks=[reporter],
        objective=build(body.objective),
        noise=Stream(context.seed, "noise"),
        held_out=Split.open(data, HELD_OUT) if body.evaluate is not None else None,
        context=context,
        average=average,
    )
    keep_precision(trainer, body)
    reporter.trainer = trainer
    checkpoints = context.entry.complete_checkpoints()
    if checkpoints:
        context.note(f"continues from step {checkpoints[-1][0]}")
        others = continues(checkpoints[-1][1], body.compute)
        if others is not None:
            context.note(others)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoints[-1][1]) if checkpoints else None)
    if context.interrupted:
        return {}
    seconds = time.monotonic() - started
    with average.in_place() if average is not None else contextlib.nullcontext():
        state = gathered(trainer, body.compute)
        if not context.world.first:
            return {}
        folder = context.entry.output("model")
        save(trainer.model.network, folder, state)
        loaded.tokens.fast.save_pretrained(str(folder))
    kept = write_kept(context.entry, steps, loaded.tokens.fast)
    return {"steps": steps, **_told(context), **kept, "parameters": parameters, "seconds": round(seconds, 1)}


def _with_edit_heads(context: Context, body: Training, network: Any) -> None:
    """A model from scratch gets heads as fresh as itself; other weights bring theirs."""
    if not has_heads(network):
        if body.model.scratch is None:
            cure = "`heads: {kind: convert, model: …, to: edit_flow}`"
            raise Failure(f"objective {body.objective.word} needs a model with heads for edits; a stage of kind convert adds them: {cure}")
        add_heads(network, Stream(context.seed, "edit heads"))
    leave_unread(network)


def _steps(body: Training, context: Context) -> int:
    assert isinstance(body.data, Reference)
    summary = context.runs.entry(body.data.stage).results() or {}
    known = summary[TRAIN]
    steps = optimizer_steps(body.duration, batch=body.batch.global_, rows=known["sequences"], tokens=known["tokens"])
    assert steps is not None
    return steps


def _arguments(body: Training, context: Context, steps: int) -> TrainingArguments:
    """Every argument that we rely on, also where it is the library's default."""
    optimizer, batch, compute = body.optimizer, body.batch, body.compute
    assert batch.micro is not None
    schedule, warmup = build(optimizer.lr_schedule), optimizer.warmup.of(steps)
    evaluate = body.evaluate
    return TrainingArguments(
        output_dir=str(context.entry.checkpoints),
        max_steps=steps,
        per_device_train_batch_size=batch.micro,
        gradient_accumulation_steps=batch.global_ // (batch.micro * compute.world),
        learning_rate=optimizer.learning_rate,
        lr_scheduler_type=schedule.name,
        lr_scheduler_kwargs=schedule.arguments(steps, warmup, optimizer.learning_rate),
        warmup_steps=warmup,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.beta1,
        adam_beta2=optimizer.beta2,
        adam_epsilon=optimizer.epsilon,
        max_grad_norm=optimizer.max_grad_norm,
        optim="adamw_torch",
        bf16=compute.precision == "bf16",
        use_cpu=compute.device == "cpu",
        seed=Stream(context.seed, "trainer").integer() % 2**31,
        data_seed=0,
        eval_strategy="no" if evaluate is None else "steps",
        eval_steps=None if evaluate is None else max(1, evaluate.every.of(steps)),
        save_strategy="steps",
        save_steps=max(1, body.checkpoint.every.of(steps)),
        save_total_limit=None,
        save_only_model=False,
        logging_strategy="no",
        logging_nan_inf_filter=False,  # a loss that is no number stops the run before
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_drop_last=False,
        dataloader_pin_memory=compute.device == "cuda",
        ignore_data_skip=False,
        full_determinism=False,
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        ddp_bucket_cap_mb=25,
        **sharing(body),
    )


def _told(context: Context) -> dict[str, Any]:
    """The curve of the losses, and where it ended."""
    body = context.stage.body
    assert isinstance(body, Training)
    measure, unit = body.objective.held_out, body.objective.unit
    found = history(context.entry, measure)
    png = context.entry.path / "loss.png"
    name = measure.replace("_", " ")
    save_curve(png, found, measure=name, unit=unit)
    shown = {
        "train": found.train,
        "held_out": found.held_out,
        "learning_rate": found.learning_rate,
        "measure": name,
        "unit": unit,
        "png": str(_shown(png)),
    }
    context.emit("curve", shown)
    last = [loss for _, loss in found.train[-max(1, len(found.train) // 20) :]]
    return {
        "loss": math.fsum(last) / len(last) if last else None,
        f"held_out_{measure}": found.held_out[-1][1] if found.held_out else None,
    }


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
