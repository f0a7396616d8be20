"""What each stage is started with, as files: command line, environment, and for training accelerate's configuration.

A folder holds all stages of a name that are started alike, so that there are as many folders as stages in the spec, not as in the sweep;
`stages.json` says which stage is in which.
"""

from typing import Any, NamedTuple

from dllm_run.specs import zero
from dllm_run.specs.canonical import pretty
from dllm_run.specs.environment import ALWAYS, OWN, UNLESS_GIVEN
from dllm_run.specs.layout import layout_of
from dllm_run.specs.plan import Plan
from dllm_run.specs.strategies import STRATEGIES
from dllm_run.specs.vocabulary.launchers.slurm import Slurm
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.training import Training

from . import accelerate
from .job import portable_command

INDEX = "stages.json"
ZERO = "ds_config.json"


class _Kind(NamedTuple):
    """What stages of one folder have in common."""

    name: str
    environment: str
    accelerate: str | None
    zero: str | None


def stage_files(plan: Plan) -> dict[str, str]:
    """`stages.json`, and `stages/NAME/` with argv.json, environment.json and, for training, accelerate.yaml and ds_config.json."""
    names = plan.names
    points = points_by_stage(plan)
    folders: dict[_Kind, str] = {}
    commands: dict[str, dict[str, list[str]]] = {}
    index = []
    for stage_id, stage in plan.stages.items():
        kind = _Kind(names[stage_id], _environment(stage.body), _accelerate(stage.body), _zero(stage.body))
        if kind not in folders:
            earlier = sum(other.name == kind.name for other in folders)
            folders[kind] = f"stages/{kind.name}.{earlier + 1}" if earlier else f"stages/{kind.name}"
        folder = folders[kind]
        commands.setdefault(folder, {})[stage_id] = portable_command(stage_id, stage.body.compute)
        index.append({"id": stage_id, "name": kind.name, "kind": stage.body.word, "folder": folder, "points": points[stage_id]})
    files = {INDEX: pretty({"schema": "dllm-run/stages/1", "stages": index})}
    for kind, folder in folders.items():
        files[f"{folder}/argv.json"] = pretty(commands[folder])
        files[f"{folder}/environment.json"] = kind.environment
        if kind.accelerate is not None:
            files[f"{folder}/accelerate.yaml"] = kind.accelerate
        if kind.zero is not None:
            files[f"{folder}/{ZERO}"] = kind.zero
    return files


def points_by_stage(plan: Plan) -> dict[str, list[str]]:
    """Names of the points that have each stage."""
    found: dict[str, list[str]] = {}
    for point in plan.points.values():
        for stage_id in dict.fromkeys(point.stages.values()):
            found.setdefault(stage_id, []).append(point.name)
    return found


def _accelerate(body: Stage) -> str | None:
    """For `accelerate launch`, where it can start such processes: on CPUs it starts one, whatever the file says."""
    if not isinstance(body, Training):
        return None
    layout, strategy = layout_of(body), STRATEGIES[body.compute.shared_by]
    if strategy.zero_stage is not None:
        return accelerate.text(accelerate.zero(layout, json_file=ZERO, stage=strategy.zero_stage))
    if not strategy.several:
        return accelerate.text(accelerate.single(layout))
    if layout.device == "cpu":
        return None
    return accelerate.text(accelerate.sharded(layout) if strategy.weights else accelerate.ddp(layout))


def _zero(body: Stage) -> str | None:
    """What DeepSpeed is given: the runtime makes the same of the plan."""
    stage = STRATEGIES[body.compute.shared_by].zero_stage if isinstance(body, Training) else None
    return zero.text(zero.zero(layout_of(body), stage)) if isinstance(body, Training) and stage is not None else None


def _environment(body: Stage) -> str:
    threads = body.compute.threads
    decided = {
        "HF_DATASETS_CACHE": "unless it is inherited: the folder cache of the attempt",
        "TORCHINDUCTOR_CACHE_DIR": "unless it is inherited: a folder of the process in that",
    }
    if threads is None:
        decided["OMP_NUM_THREADS"] = "the threads of the last attempt, else one for each core that the process may use"
    found: dict[str, Any] = {
        "set": {**ALWAYS, **({"OMP_NUM_THREADS": str(threads)} if threads is not None else {})},
        "set_unless_inherited": UNLESS_GIVEN,
        "decided_there": decided,
        "inherited": inherited(body.launch) if isinstance(body.launch, Slurm) else "everything",
    }
    return pretty(found)


def inherited(launch: Slurm) -> list[str]:
    """Names of the variables that a Slurm job gets from where it was sent off; Slurm adds its own."""
    return ["HOME", "PATH", "USER", *OWN, *launch.env]
