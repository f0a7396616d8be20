"""The model class of an evaluation, put together from its plan; processes that share it differ in their journal alone."""

from collections.abc import Callable
from typing import Any

from dllm_run.specs.field import fields_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.samplers.llada import Llada
from dllm_run.specs.vocabulary.stages.eval import Eval

from .build import build
from .context import Context
from .generate import Generator
from .journal import Journal
from .lm import DiffusionLM, Settings
from .models import Loaded
from .noise import Stream
from .precision import precision_of
from .scoring import Scorer


def assembled(
    context: Context, loaded: Loaded, journal: Journal, asks_greedy: Callable[[str | None], bool], *, batch: int | None = None
) -> DiffusionLM:
    """The model class of a stage; `batch` in place of the plan's."""
    body = context.stage.body
    assert isinstance(body, Eval)
    rows, precision, stream = batch or body.batch, precision_of(body.compute), Stream(context.seed, "sample")
    scorer = None
    if body.likelihood is not None:
        scorer = Scorer(
            denoiser=loaded.denoiser.eval(),
            estimator=build(body.likelihood),
            stream=Stream(context.seed, "likelihood"),
            batch=rows,
            journal=journal,
            precision=precision,
            progress=lambda done, total: context.progress("masks", done, total),
        )
    generator = Generator(loaded, build(body.sampler), stream, rows, precision) if body.sampler is not None else None
    return DiffusionLM(
        context,
        loaded,
        Settings(
            max_length=_window(context, body, loaded),
            max_new_tokens=body.max_new_tokens,
            sampler={info.key: getattr(body.sampler, info.name) for info in fields_of(type(body.sampler))} if body.sampler else {},
            asks_greedy=asks_greedy,
        ),
        scorer=scorer,
        generator=generator,
        greedy=Generator(loaded, build(Llada()), stream, rows, precision),
        journal=journal,
    )


def _window(context: Context, body: Eval, loaded: Loaded) -> int:
    """The most tokens that a row may have: no more than the model has positions for, or was trained on."""
    window = int(loaded.denoiser.network.config.max_position_embeddings)
    if isinstance(body.data, Reference):
        upstream: Any = context.plan.stages[body.data.stage].body
        window = min(window, upstream.data.max_length)
    return window
