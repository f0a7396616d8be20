"""The configuration file of `accelerate launch`, for one process, DDP, ZeRO and FSDP2."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dllm_run.specs import fsdp2
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.layout import Layout

Config = dict[str, Any]

PORT = 29500
"""Where the processes of a job meet; `--main_process_port` of the command line wins."""


def single(layout: Layout) -> Config:
    """One process, on a CPU or one GPU."""
    if layout.processes != 1:
        raise EnvironmentProblem(f"{layout.processes} processes need a strategy: ddp, zero1, zero2, zero3 or fsdp2")
    return {**_common(layout), "distributed_type": "NO", "mixed_precision": _mixed(layout)}


def ddp(layout: Layout) -> Config:
    """A copy of the model in each process. Raises EnvironmentProblem for CPUs."""
    _needs_gpus(layout, "ddp", "starts one process, whatever the file says: use `torchrun --nproc_per_node`")
    return {**_common(layout), "distributed_type": "MULTI_GPU", "mixed_precision": _mixed(layout)}


def zero(layout: Layout, *, json_file: str, stage: int) -> Config:
    """ZeRO, with what `deepspeed.zero1` and its like give in `json_file`.

    `mixed_precision` stands in that file alone: accelerate refuses a configuration that has it in both.
    """
    settings = {
        "deepspeed_config_file": json_file,
        "deepspeed_multinode_launcher": "standard",
        "zero3_init_flag": stage == 3,
    }
    return {**_common(layout), "distributed_type": "DEEPSPEED", "deepspeed_config": settings}


def sharded(layout: Layout, *, layer_classes: Sequence[str] = ()) -> Config:
    """FSDP2. Raises EnvironmentProblem for CPUs."""
    _needs_gpus(layout, "fsdp2", "trains with plain ddp and says nothing")
    settings = fsdp2.settings(layer_classes)
    return {**_common(layout), "distributed_type": "FSDP", "mixed_precision": _mixed(layout), "fsdp_config": settings}


def text(config: Config) -> str:
    """YAML with the keys in order. Every scalar is JSON, which YAML reads as what it is: `NO` stays a word."""
    lines: list[str] = []
    for key, value in sorted(config.items()):
        if isinstance(value, Mapping):
            lines.append(f"{key}:")
            lines.extend(f"  {inner}: {json.dumps(item)}" for inner, item in sorted(value.items()))
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def _common(layout: Layout) -> Config:
    return {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        "num_machines": layout.nodes,
        "num_processes": layout.processes,
        # With several nodes the command line says which this is and where the first one is: a file cannot know.
        "machine_rank": 0,
        "main_process_port": PORT,
        # Only the command line can change these two: accelerate reads them from a file and then forgets them.
        "rdzv_backend": "static",
        "same_network": False,
        "main_training_function": "main",
        "use_cpu": layout.device == "cpu",
        "enable_cpu_affinity": False,
        "downcast_bf16": False,
        "dynamo_config": {
            "dynamo_backend": "NO",
            "dynamo_mode": "default",
            "dynamo_use_dynamic": False,
            "dynamo_use_fullgraph": False,
            "dynamo_use_regional_compilation": False,
        },
    }


def _mixed(layout: Layout) -> str:
    return "bf16" if layout.precision == "bf16" else "no"


def _needs_gpus(layout: Layout, strategy: str, instead: str) -> None:
    if layout.device != "cuda":
        raise EnvironmentProblem(f"{strategy} under accelerate needs GPUs; on CPUs `accelerate launch` {instead}")
