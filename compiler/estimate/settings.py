"""From the words of a stage to the numbers that its memory depends on."""

from typing import get_args

from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.stages.sample import HeldOut, Sample
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import members

from . import Attention, InferenceSetting, Precision, Setting, StrategyName
from .facts import Kept

PROMPT = 1024
"""Tokens that the questions of a library's task are taken to have, with their solved examples."""
_PRECISION: dict[tuple[str, str], Precision] = {
    ("float32", "fp32"): "fp32",
    ("float32", "bf16"): "bf16",
    ("bfloat16", "fp32"): "pure_bf16",
    ("bfloat16", "bf16"): "pure_bf16",
}
"""By the number that weights are held in and that of matrix products."""
_STRATEGY: dict[str, StrategyName] = {name: name for name in get_args(StrategyName)}
_ATTENTION: dict[str, Attention] = {"sdpa": "sdpa", "eager": "eager"}
_MEAN_MASKED = 0.5  # of the positions of a row whose likelihood is estimated


def world_of(compute: Compute) -> int:
    """Processes among which a training step is shared."""
    return compute.world


def training_setting(stage: Training, length: int, kept: Kept) -> Setting:
    """Of a training stage that is complete, in rows of `length`."""
    compute, batch = stage.compute, stage.batch
    assert batch.micro is not None and compute.device is not None
    passed, share = stage.objective.passed(), stage.objective.scored_share()
    adapter, quantization = trained_adapter(stage, kept), stage.model.quantization
    return Setting(
        micro=batch.micro,
        copies=passed.rows,
        length=length * passed.length,
        precision=_PRECISION[kept.dtype, compute.precision],
        strategy=_STRATEGY[compute.shared_by],
        world=world_of(compute),
        accumulation=max(1, batch.global_ // (batch.micro * world_of(compute))),
        gradient_checkpointing=compute.gradient_checkpointing,
        attention=_ATTENTION[compute.attention_kernel],
        lora_rank=None if adapter is None else adapter.r,
        saved_tables=0 if adapter is None else _saved_tables(adapter) + 2 * stage.objective.edit_heads,
        # Without an adapter they are not trained: the spec is in error, and told so elsewhere.
        quantization=None if quantization is None or adapter is None else quantization.stored,
        averaged=stage.ema is not None,
        scored=share / passed.positions,
        most=max(1.0, share) / passed.positions,
        stratified=stage.objective.in_strata(),
        device="cuda" if compute.device == "cuda" else "cpu",
    )


def trained_adapter(stage: Training, kept: Kept) -> Lora | None:
    """What is trained in the place of the weights; None: the weights themselves."""
    return stage.model.lora if stage.model.lora is not None or stage.model.adapter != "continue" else kept.adapter


def _saved_tables(adapter: Lora) -> int:
    """Embeddings and output matrices that are trained whole beside an adapter; other modules are small."""
    tables = {name for family in members(Family).values() if issubclass(family, Family) for name in family.tables}
    return sum(name.rpartition(".")[2] in tables for name in adapter.modules_to_save)


def sampling_setting(stage: Sample, given: int, kept: Kept) -> InferenceSetting:
    """Of a sampling stage over prompts, or held-out rows, of at most `given` tokens."""
    if isinstance(stage.prompts, HeldOut):
        length = min(given, stage.prompts.length or given)
        opened, rows = max(1, round(length * stage.prompts.mask.ratio)), stage.prompts.limit
    else:
        opened, rows = stage.max_new_tokens or 1, len(stage.prompts)
        length = given + opened
    rows = max(1, min(stage.batch, rows))
    return _inference(stage.compute, rows, length, rows * stage.sampler.window(opened), kept)


def evaluation_setting(stage: Eval, prompt: int, most: int, kept: Kept, chunk: int) -> InferenceSetting:
    """Of an evaluation stage: its longest canvas, of at most `most` tokens, and the most positions that its tasks score at once.

    Questions of a library's tasks are taken to have `prompt` tokens. Likelihoods need the logits of a `chunk` alone.
    """
    length, scored = 1, 0
    for task in stage.tasks:
        built_in = members(BuiltInTask).get(task.name)
        if built_in is None or (issubclass(built_in, BuiltInTask) and built_in.questions is not None):
            answer = stage.max_new_tokens if stage.sampler is not None else 0
            here = min(most, prompt + answer)
            generated = 0 if stage.sampler is None else stage.batch * stage.sampler.window(answer)
            score = generated or min(chunk, int(_MEAN_MASKED * stage.batch * here))
        else:
            assert issubclass(built_in, BuiltInTask)
            here = most
            score = int(stage.batch * most * built_in.emptied) or min(chunk, int(_MEAN_MASKED * stage.batch * most))
        length, scored = max(length, here), max(scored, score)
    return _inference(stage.compute, stage.batch, length, scored, kept)


def _inference(compute: Compute, rows: int, length: int, scored: int, kept: Kept) -> InferenceSetting:
    return InferenceSetting(
        rows=rows,
        length=length,
        scored=scored,
        lora_rank=None if kept.adapter is None else kept.adapter.r,
        quantization=kept.quantization,
        precision=_PRECISION[kept.dtype, compute.precision],
        attention=_ATTENTION[compute.attention_kernel],
        device="cuda" if compute.device == "cuda" else "cpu",
    )
