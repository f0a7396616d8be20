"""What a model was trained with by Edit Flows, and what a sampler must know of it: schedule and start. It stands in config.json."""

from dataclasses import dataclass
from typing import Any, TypeVar

from dllm_run.specs.codec import DecodeError, decode, encode
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.kappas import Kappa as KappaWord
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.objectives.edit_flow import EditFlow
from dllm_run.specs.vocabulary.samplers.edit_flow import EditFlowSampler
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.stages.sample import Sample
from dllm_run.specs.vocabulary.starts import Start as StartWord
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import Word

from .config_json import TRAINED
from .context import Context
from .edit_heads import has_heads
from .failure import Failure

W = TypeVar("W", bound=Word)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRecord:
    """The two words that a sampler follows."""

    schedule: KappaWord
    start: StartWord


def left_by(objective: Objective) -> EditRecord | None:
    """What a training leaves; None of an objective that does not edit."""
    return EditRecord(schedule=objective.schedule, start=objective.start) if isinstance(objective, EditFlow) else None


def note(network: Any, record: EditRecord | None) -> None:
    """Let a network say, wherever it is saved, how it was trained to edit, or nothing."""
    vars(network.config).pop(TRAINED, None)
    if record is not None:
        setattr(network.config, TRAINED, {"schedule": encode(record.schedule), "start": encode(record.start)})


def record_of(context: Context, model: Model | Reference, network: Any) -> EditRecord | None:
    """What trained the weights to edit, as the plan or they themselves say, else the stage's sampler; None where nothing is known of it.

    Raises Failure where the stage's sampler edits, and this model was not trained to, or they say different things.
    """
    known = _trained(context, model, network)
    body = context.stage.body
    sampler = body.sampler if isinstance(body, Sample | Eval) else None
    if not isinstance(sampler, EditFlowSampler):
        return known
    if not has_heads(network):
        raise Failure(f"sampler {sampler.word} needs a model with heads for edits, and this one has none")
    schedule = _agreed("schedule", sampler.schedule, None if known is None else known.schedule)
    start = _agreed("start", sampler.start, None if known is None else known.start)
    return EditRecord(schedule=schedule, start=start)


def _agreed(name: str, stated: W | None, known: W | None) -> W:
    found = stated if known is None else known
    if found is None:
        raise Failure(f"the weights do not say with which {name} edit_flow has trained them: the sampler must, by `{name}`")
    if stated is not None and stated != found:
        raise Failure(f"the sampler says {name} {encode(stated)}, and the weights were trained with {encode(found)}: leave it out")
    return found


def _trained(context: Context, model: Model | Reference, network: Any) -> EditRecord | None:
    while True:
        source = model if isinstance(model, Reference) else model.from_
        if not isinstance(source, Reference):
            return _said(vars(network.config).get(TRAINED))
        upstream: Any = context.plan.stages[source.stage].body
        if isinstance(upstream, Training):
            return left_by(upstream.objective)
        model = upstream.model


def _said(said: Any) -> EditRecord | None:
    if said is None:
        return None
    try:
        return EditRecord(schedule=decode(KappaWord, said["schedule"]), start=decode(StartWord, said["start"]))
    except (DecodeError, KeyError, TypeError) as error:
        raise Failure(f"config.json of the model says of its training by edit_flow what is not understood: {error}") from None
