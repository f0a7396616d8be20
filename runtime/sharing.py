"""How processes share a training step: what Trainer is told of it, and whether it did as it was told."""

import dataclasses
import importlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from torch import distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from dllm_run.specs.fsdp2 import settings
from dllm_run.specs.layout import layout_of
from dllm_run.specs.strategies import STRATEGIES
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.zero import zero

from .failure import Failure
from .meeting import BACKENDS

_FILE = "world.json"
"""Its name in a checkpoint."""


def sharing(body: Training) -> dict[str, Any]:
    """Arguments of Trainer for the strategy of a stage."""
    strategy = STRATEGIES[body.compute.shared_by]
    if strategy.zero_stage is not None:
        return {"deepspeed": zero(layout_of(body), strategy.zero_stage)}
    return {"fsdp": True, "fsdp_config": settings()} if strategy.weights else {}


def prepare(body: Training) -> None:
    """Before anything of the library behind a strategy is loaded. Raises Failure where it is not here."""
    if body.compute.device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"  # or it looks for others, and says that there is none
    if STRATEGIES[body.compute.shared_by].zero_stage is None:
        return
    if importlib.util.find_spec("deepspeed") is None:
        raise Failure(f"{body.compute.shared_by} is DeepSpeed's, which is not here: `pip install deepspeed`, or another strategy")
    # Deterministic algorithms fill fresh memory, and DeepSpeed's buffers are gigabytes of which a small model uses the first few bytes.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of a module
    # An extension that speeds up messages on one machine. It is compiled in the first run, minutes of silence, and where a run was killed
    # meanwhile the next one waits for it for ever.
    importlib.import_module("deepspeed.ops").__compatible_ops__["deepspeed_shm_comm"] = False


def adjust(args: Any, denoiser: nn.Module, body: Training) -> None:
    """Before Trainer is made: what it would not take from its arguments."""
    if not _is_fsdp2(body.compute):
        return
    # accelerate asks the model that it wraps for the classes of its layers.
    network: Any = denoiser.network
    vars(denoiser)["_no_split_modules"] = list(network._no_split_modules or ())
    device = args.device  # makes the state
    if device.type == "cpu":
        # On a CPU accelerate would train with plain ddp and say nothing: FSDP is only made of what counts as several GPUs.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def keep_precision(trainer: Any, body: Training) -> None:
    """Before the model is wrapped: under bf16 FSDP would round what it returns, losses and bounds, and sums of gradients."""
    if not _is_fsdp2(body.compute):
        return
    plugin = trainer.accelerator.state.fsdp_plugin
    if plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = dataclasses.replace(plugin.mixed_precision_policy, output_dtype=None, reduce_dtype=torch.float32)


def refuse_otherwise(model: nn.Module, compute: Compute) -> None:
    """Raises Failure where a model is not shared out as planned: several ways to start a training end in one process, or in plain ddp."""
    found = _sharing_of(model)
    if found != compute.shared_by:
        raise Failure(f"the plan shares the stage out by {compute.shared_by}, and the model came out as {found} ({type(model).__name__})")
    if compute.world == 1:
        return
    size, backend = distributed.get_world_size(), distributed.get_backend_config()
    if size != compute.world:
        raise Failure(f"the plan has {compute.world} processes, and {size} have met")
    wanted = f"{compute.device}:{BACKENDS[compute.device or 'cpu'].rpartition(':')[2]}"
    if wanted not in backend.split(","):
        raise Failure(f"processes should talk by {wanted}, and these do by {backend}")


def _sharing_of(model: nn.Module) -> str:
    """The strategy that a wrapped model shows."""
    if isinstance(model, DistributedDataParallel):
        return "ddp"
    if isinstance(model, FSDPModule):
        return "fsdp2"
    if type(model).__name__ == "DeepSpeedEngine":
        engine: Any = model
        return f"zero{engine.zero_optimization_stage()}"
    return "none"


def _is_fsdp2(compute: Compute) -> bool:
    strategy = STRATEGIES[compute.shared_by]
    return strategy.weights and strategy.zero_stage is None


def weights_are_divided(compute: Compute) -> bool:
    """Whether no process holds all weights."""
    return STRATEGIES[compute.shared_by].weights


def gathered(trainer: Any, compute: Compute) -> dict[str, torch.Tensor] | None:
    """All weights of the network, in the first process, where none holds them; None where each does. Every process takes part."""
    if not weights_are_divided(compute):
        return None
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return {name.removeprefix("network."): value for name, value in (state or {}).items()}


def write_world(folder: Path, compute: Compute) -> None:
    """Note in a checkpoint which processes have written it."""
    (folder / _FILE).write_text(json.dumps({"processes": compute.world, "strategy": compute.shared_by}) + "\n", encoding="utf-8")


def continues(folder: Path, compute: Compute) -> str | None:
    """What is to be noted where other processes go on from a checkpoint. Raises Failure where these cannot."""
    path = folder / _FILE
    if not path.is_file():
        return None
    written = json.loads(path.read_text(encoding="utf-8"))
    processes, named = int(written["processes"]), str(written["strategy"])
    if (processes, named) == (compute.world, compute.shared_by):
        return None
    before, now = STRATEGIES[named], STRATEGIES[compute.shared_by]
    told = f"{_people(processes, named)} wrote the checkpoint in {folder}"
    if before.checkpoint != now.checkpoint or (processes != compute.world and not now.reshapes):
        flags = f"`-s compute.processes={processes} -s compute.strategy={named}`"
        raise Failure(f"{told}, and {_people(compute.world, compute.shared_by)} cannot go on from it: {flags}, or remove it to start again")
    return f"{told}; {_people(compute.world, compute.shared_by)} go on: the same mathematics, other rounding"


def _people(processes: int, strategy: str) -> str:
    return f"{processes} process{'es' if processes != 1 else ''} ({strategy})"
