"""What a model was trained with by Edit Flows, and what a sampler must know of it: schedule and start. It stands in config.json."""

from dataclasses import dataclass
from typing import Any

from dllm_run.specs.codec import DecodeError, decode, encode
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.kappas import Kappa as KappaWord
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.objectives.edit_flow import EditFlow
from dllm_run.specs.vocabulary.starts import Start as StartWord
from dllm_run.specs.vocabulary.training import Training

from .config_json import TRAINED
from .context import Context
from .failure import Failure


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
    """What trained the weights last: a stage of the plan, else what the weights say; None where that was no Edit Flow, or is not known.

    Raises Failure where the weights say something that is no schedule, or no start.
    """
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
