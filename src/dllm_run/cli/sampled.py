"""Which stage `sample` and `chat` take of a spec, changed as the command line says, or made for a model that has none; and its plan."""

import json
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.read import read
from dllm_run.compiler.suggest import nearest
from dllm_run.specs.errors import NotFound, SpecError
from dllm_run.specs.plan import Plan, Point
from dllm_run.specs.reference import Reference
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.samplers.llada import Llada
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages.convert import Convert
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.stages.sample import HeldOut, Sample
from dllm_run.specs.vocabulary.training import Training

from .diagnostics import show
from .fetch import write_lock
from .fetching import fetched, is_here, needs_of
from .specs import Named

NEW_TOKENS = 128
"""Tokens after a prompt, where neither the spec nor the command line says it."""
FRESH = "sample"
"""The name of a stage that is made for a model, unless another stage has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says of how to sample; None: as the spec has it."""

    stage: str | None = None
    point: str | None = None
    sampler: str | None = None
    steps: int | None = None
    temperature: float | None = None
    seed: int | None = None
    max_new_tokens: int | None = None
    rows: int | None = None
    """Held-out rows, where the stage's own prompts are such."""
    own_prompts: bool = False
    """Whether the stage's prompts are asked; else others will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A stage to sample from: it need not be in the store, what it reads is."""

    named: Named
    compiled: Compiled
    plan: Plan
    """Of this stage and what it needs."""
    stage_id: str
    name: str
    """Of the stage as the spec has it, or of the one that was made."""
    source: str
    """The name of what is sampled from, for people."""

    @property
    def body(self) -> Sample:
        """The stage."""
        found = self.plan.stages[self.stage_id].body
        assert isinstance(found, Sample)
        return found


def sampled(named: Named, wish: Wish, runs: Runs, console: Console) -> Sampled:
    """The stage that is wished for. Raises SpecError for what does not go together, NotFound where nothing is trained yet."""
    name, flags = _chosen(named, wish, runs)
    flags += _changes(f"stages.{name}", wish)
    named = replace(named, source=replace(named.source, flags=(*named.source.flags, *flags)))
    compiled = named.compile()
    found = _found(named, compiled, name, wish)
    _refuse_untrained(found, runs)
    # What the model was trained on is nothing to whoever samples from it.
    needs = [need for need in needs_of(found.plan) if need.what == "model" and not is_here(need)]
    if needs:
        write_lock(named, compiled.plan, [item.record for item in fetched(needs, console)])
        # With their content known the stages have other ids.
        found = _found(named, named.compile(), name, wish)
    show([item for item in found.compiled.warnings if item.path.startswith(f"stages.{name}")])
    return found


def _chosen(named: Named, wish: Wish, runs: Runs) -> tuple[str, list[str]]:
    """A stage by its name, and what makes it where there is none, or gives it other prompts."""
    try:
        compiled = named.compile()
    except SpecError:
        if wish.stage is not None or read(named.source.data, named.source.file).get(("stages",)) is not None:
            raise
        # A spec of a model alone has no stages, which is an error to everybody else.
        return FRESH, _made(FRESH, None, {"type": Llada.word})
    spec, point = compiled.spec, point_of(compiled.plan, wish.point)
    name = wish.stage or _default(spec, point, wish, runs)
    body = spec.stages.get(name)
    if body is None:
        guess = nearest(name, spec.stages)
        raise NotFound(f"there is no stage {name}: " + (f"did you mean {guess}?" if guess else f"stages: {', '.join(spec.stages)}"))
    if isinstance(body, Sample):
        return name, _same_prompts(name, body, wish) if wish.own_prompts else _other_prompts(name, body)
    fresh = FRESH if FRESH not in spec.stages else f"{FRESH}-{name}"
    if isinstance(body, Eval):
        model = compiled.root.get_text(("stages", name, "model"))
        sampler = _written(compiled, name) or _by_training(spec, body.model)
        return fresh, _made(fresh, None if model is None else model.plain(), sampler)
    if "model" not in body.outputs:
        raise NotFound(f"stage {name} is of kind {body.word}: it makes no model to sample from")
    reference = Reference(name)
    return fresh, _made(fresh, reference.text(), _sampler_for(compiled, reference))


def _default(spec: Spec, point: Point, wish: Wish, runs: Runs) -> str:
    """The last stage that samples texts, else the last that samples, else the last model that is done."""
    samples = [name for name, body in spec.stages.items() if isinstance(body, Sample)]
    texts = [name for name in samples if not isinstance(_sample(spec, name).prompts, HeldOut)]
    if texts or samples:
        return (texts or samples)[-1]
    models = [name for name, body in spec.stages.items() if "model" in body.outputs and not isinstance(body, Convert)]
    done = [name for name in models if runs.entry(point.stages[name]).done]
    evals = [name for name, body in spec.stages.items() if isinstance(body, Eval)]
    if not (models or evals):
        raise NotFound(f"{spec.name} has no stage that samples, and none that makes a model")
    return (done or models or evals)[-1]


def _sample(spec: Spec, name: str) -> Sample:
    body = spec.stages[name]
    assert isinstance(body, Sample)
    return body


def _same_prompts(name: str, body: Sample, wish: Wish) -> list[str]:
    held_out = wish.rows is not None and isinstance(body.prompts, HeldOut)
    return [_flag(f"stages.{name}.prompts.limit", wish.rows)] if held_out else []


def _other_prompts(name: str, body: Sample) -> list[str]:
    """Others come when the model is loaded: what stands here only makes room for them."""
    flags = [_flag(f"stages.{name}.prompts", [""])]
    return flags if body.max_new_tokens is not None else [*flags, _flag(f"stages.{name}.max_new_tokens", NEW_TOKENS)]


def _made(name: str, model: Any, sampler: Any) -> list[str]:
    stage = {"kind": Sample.word, "prompts": [""], "max_new_tokens": NEW_TOKENS, "sampler": sampler}
    return [_flag(f"stages.{name}", stage if model is None else {**stage, "model": model})]


def _sampler_for(compiled: Compiled, reference: Reference) -> Any:
    """How another stage samples from this model, else as suits the objective that it was trained by."""
    for name, body in reversed(compiled.spec.stages.items()):
        if isinstance(body, Sample | Eval) and body.model == reference and body.sampler is not None:
            return _written(compiled, name)
    return _by_training(compiled.spec, reference)


def _written(compiled: Compiled, name: str) -> Any:
    node = compiled.root.get_text(("stages", name, "sampler"))
    return None if node is None else node.plain()


def _by_training(spec: Spec, model: Any) -> dict[str, Any]:
    """The sampler of the objective that trained the model last."""
    source = model if isinstance(model, Reference) else model.from_
    while isinstance(source, Reference):
        body: Any = spec.stages[source.stage]
        if isinstance(body, Training):
            return body.objective.sampler()
        source = body.model if isinstance(body.model, Reference) else body.model.from_
    return {"type": Llada.word}


def _changes(path: str, wish: Wish) -> list[str]:
    """Flags for what the command line says, the sampler first: the rest is of it."""
    found = [] if wish.sampler is None else [f"{path}.sampler={wish.sampler}"]
    values = {
        "sampler.steps": wish.steps,
        "sampler.temperature": wish.temperature,
        "max_new_tokens": wish.max_new_tokens,
        "seed": wish.seed,
    }
    return found + [_flag(f"{path}.{key}", value) for key, value in values.items() if value is not None]


def _flag(path: str, value: Any) -> str:
    return f"{path}={json.dumps(value, ensure_ascii=False)}"


def point_of(plan: Plan, wanted: str | None) -> Point:
    """The point of that name or id, or the only one. Raises NotFound."""
    points = plan.points
    named = [point for point_id, point in points.items() if wanted is None or wanted in (point.name, point_id)]
    if len(named) == 1:
        return named[0]
    names = [point.name for point in points.values()]
    known = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    if wanted is None:
        raise NotFound(f"{plan.name} has {len(points)} points: say which with --point: {known}")
    guess = nearest(wanted, names)
    raise NotFound(f"{plan.name} has no point {wanted!r}: " + (f"did you mean {guess}?" if guess else f"it has {known}"))


def _found(named: Named, compiled: Compiled, name: str, wish: Wish) -> Sampled:
    point = point_of(compiled.plan, wish.point)
    stage_id = point.stages[name]
    plan = _upstream(compiled.plan, point, stage_id)
    body = plan.stages[stage_id].body
    assert isinstance(body, Sample)
    model = body.model
    source = plan.name_of(model.stage) if isinstance(model, Reference) else model.locator() or plan.name
    return Sampled(named=named, compiled=compiled, plan=plan, stage_id=stage_id, name=name, source=source)


def _upstream(plan: Plan, point: Point, stage_id: str) -> Plan:
    """The plan of one stage: a sweep of a thousand points is nothing to the process that samples."""
    wanted = {stage_id}
    for found in reversed(plan.stages):
        if found in wanted:
            wanted.update(need.stage for need in plan.stages[found].needs)
    stages = {found: stage for found, stage in plan.stages.items() if found in wanted}
    read_ = {locator for stage in stages.values() for locator in stage.inputs}
    # A data set goes by the name of a stage that reads it, of which there may be several.
    here = {name: found for name, found in point.stages.items() if found in wanted and point.stages[name.removesuffix(".data")] in wanted}
    return replace(
        plan,
        stages=stages,
        inputs={locator: record for locator, record in plan.inputs.items() if locator in read_},
        points={"-": replace(point, stages=here)},
    )


def _refuse_untrained(found: Sampled, runs: Runs) -> None:
    """Raises NotFound for what is needed and not done."""
    needs = found.plan.stages[found.stage_id].needs
    missing = [found.plan.name_of(need.stage) for need in needs if not runs.entry(need.stage).done]
    if missing:
        text = f"{', '.join(missing)} {'have' if len(missing) > 1 else 'has'} no result under {runs.root} yet"
        raise NotFound(f"{text}: `dllm-run run {found.named.source.file}` first")
